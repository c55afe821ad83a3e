import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.optim.optimizer import default_constructor
from mmseg.registry import MODELS
from scenes.models import tiny_model
from torch import nn

CONSTRUCTOR = 'FrozenOptimWrapperConstructor'


def build(model, constructor=CONSTRUCTOR, kind='AdamW', paramwise_cfg=None, **optimizer):
    optimizer = dict(type=kind, lr=0.1, weight_decay=0.01, **optimizer)
    settings = dict(constructor=constructor, optimizer=optimizer, paramwise_cfg=paramwise_cfg)
    return build_optim_wrapper(model, settings).optimizer


def test_what_is_frozen_leaves_no_line_in_the_log_and_the_groups_are_mmengines(monkeypatch):
    lines = []
    monkeypatch.setattr(default_constructor, 'print_log', lambda text, **_: lines.append(text))
    model = MODELS.build(tiny_model())
    groups, logged = [], []
    for constructor in ('DefaultOptimWrapperConstructor', CONSTRUCTOR):
        lines.clear()
        optimizer = build(model, constructor, paramwise_cfg=dict(flat_decay_mult=0.0))
        groups.append([(id(g['params'][0]), g['weight_decay']) for g in optimizer.param_groups])
        logged.append([line for line in lines if 'encoder.vit' in line])
    assert groups[0] == groups[1]
    assert len(logged[0]) == len(list(model.backbone.encoder.parameters()))
    assert logged[1] == []


@pytest.mark.parametrize(
    ('kind', 'settings', 'device', 'fused'),
    [
        ('AdamW', {}, 'cpu', True),
        ('Adam', {}, 'cpu', True),
        ('AdamW', {}, 'meta', None),
        ('AdamW', dict(fused=False), 'cpu', False),
        ('AdamW', dict(foreach=True), 'cpu', None),
        ('SGD', {}, 'cpu', None),
    ],
)
def test_steps_of_adam_are_fused_unless_the_config_says_otherwise(kind, settings, device, fused):
    model = nn.Linear(3, 2, device=device)
    assert build(model, kind=kind, **settings).defaults['fused'] is fused


@pytest.mark.parametrize('fused', [(None, True), (True, None)])
def test_a_training_goes_on_with_the_kernels_of_the_machine_that_resumes_it(fused):
    torch.manual_seed(0)
    models = [nn.Linear(3, 2)]
    optimizers = [build(models[0], fused=fused[0])]
    step(models[0], optimizers[0])
    models.append(copy.deepcopy(models[0]))
    optimizers.append(build(models[1], fused=fused[1]))
    optimizers[1].load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
    assert [group['fused'] for group in optimizers[1].param_groups] == [fused[1]]
    assert [group['fused'] for group in optimizers[0].param_groups] == [fused[0]]
    for model, optimizer in zip(models, optimizers, strict=True):
        step(model, optimizer)
    torch.testing.assert_close(models[0].weight, models[1].weight)


def step(model, optimizer):
    optimizer.zero_grad()
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()
