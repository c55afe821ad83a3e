import io
import math
from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmseg.registry import PARAM_SCHEDULERS
from scenes.paths import ROOT
from torch import nn

from mobanet_mmseg.engine.lookahead import (
    AmpLookaheadOptimWrapper,
    Bf16LookaheadOptimWrapper,
    LookaheadOptimWrapper,
)
from mobanet_mmseg.engine.precision import Bf16OptimWrapper
from mobanet_mmseg.weights.harmless import harmless

ADAMW = dict(type='AdamW', lr=0.1, weight_decay=0.01)
SGD = dict(type='SGD', lr=0.1, momentum=0.9)


def wrap(model, optimizer, **settings):
    settings = {'type': 'LookaheadOptimWrapper', 'optimizer': optimizer, **settings}
    return build_optim_wrapper(model, settings)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def train(model, wrapper, steps):
    for step in steps:
        batch = torch.rand(5, 3, generator=torch.Generator().manual_seed(step))
        wrapper.update_params(model(batch).square().mean())


def weights(model):
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


def test_slow_weights_go_half_the_way_after_each_two_steps():
    weight = nn.Parameter(torch.tensor([1.0]))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    wrapper = LookaheadOptimWrapper(optimizer=optimizer, k=2, alpha=0.5)
    found = []
    for _ in range(5):
        wrapper.update_params(weight.sum())  # each step takes 1 off
        found.append(weight.item())
    # from 1: 0, then -1, of which the slow weight goes half: 0; from there -1, -2 -> -1; -2
    assert found == [0.0, 0.0, -1.0, -1.0, -2.0]
    assert [slow.item() for slow in wrapper.slow_weights] == [-1.0]


def test_one_step_all_the_way_is_the_optimizer_alone():
    plain, ahead = network(), network()
    train(plain, OptimWrapper(torch.optim.AdamW(plain.parameters(), **without_type(ADAMW))), [1, 2])
    train(ahead, wrap(ahead, ADAMW, k=1, alpha=1.0), [1, 2])
    assert torch.equal(weights(plain), weights(ahead))


def without_type(optimizer):
    return {key: value for key, value in optimizer.items() if key != 'type'}


def test_slow_weights_are_those_that_the_model_has_at_its_first_step():
    model = network()
    wrapper = wrap(model, SGD)
    nn.init.zeros_(model[0].weight)  # as MMEngine initialises and loads after it wraps
    train(model, wrapper, [1])
    assert torch.equal(wrapper.slow_weights[0], torch.zeros(4, 3))


@pytest.mark.parametrize('optimizer', [ADAMW, SGD], ids=lambda optimizer: optimizer['type'])
@pytest.mark.parametrize('stop', [0, 3, 5, 7])
def test_resumed_training_is_the_uninterrupted_one_bit_for_bit(optimizer, stop):
    whole = network()
    train(whole, wrap(whole, optimizer), range(12))
    first = network()
    wrapper = wrap(first, optimizer)
    train(first, wrapper, range(stop))
    file = io.BytesIO()
    torch.save({'state_dict': first.state_dict(), 'optimizer': wrapper.state_dict()}, file)
    file.seek(0)
    checkpoint = harmless(torch.load(file, weights_only=True))  # as SafeRunner reads it
    second = network()
    resumed = wrap(second, optimizer)
    second.load_state_dict(checkpoint['state_dict'])
    resumed.load_state_dict(checkpoint['optimizer'])
    train(second, resumed, range(stop, 12))
    assert torch.equal(weights(whole), weights(second))


def test_accumulated_gradients_are_one_step():
    model = network()
    wrapper = wrap(model, SGD, accumulative_counts=3)
    train(model, wrapper, range(6))
    assert wrapper.fast_steps == 2


def test_loaded_state_is_not_what_goes_on():
    model = network()
    wrapper = wrap(model, SGD, k=2)
    train(model, wrapper, [1])
    state = deepcopy(wrapper.state_dict())
    before = state['lookahead']['slow_weights'][0].clone()
    wrapper.load_state_dict(state)
    train(model, wrapper, [2])
    assert torch.equal(state['lookahead']['slow_weights'][0], before)


def test_a_training_without_lookahead_is_not_resumed_with_it():
    model = network()
    state = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)).state_dict()
    with pytest.raises(ValueError, match=r"no Lookahead.*optim_wrapper\.type='OptimWrapper'"):
        wrap(model, SGD).load_state_dict(state)


def test_mixed_precision_goes_through_the_same_steps():
    parents = AmpLookaheadOptimWrapper.__mro__[1:4]
    assert parents == (LookaheadOptimWrapper, AmpOptimWrapper, OptimWrapper)
    model = network()
    wrapper = wrap(model, SGD, type='Bf16LookaheadOptimWrapper', k=2)
    assert Bf16LookaheadOptimWrapper.__mro__[1:3] == (LookaheadOptimWrapper, Bf16OptimWrapper)
    with wrapper.optim_context(model):
        assert model(torch.rand(5, 3)).dtype == torch.bfloat16
    train(model, wrapper, range(3))
    assert wrapper.fast_steps == 1


@pytest.mark.parametrize('fused', [False, True])
def test_a_step_that_the_scaler_leaves_out_does_not_count(monkeypatch, fused):
    monkeypatch.setattr(amp_optimizer_wrapper, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', lambda: torch.amp.GradScaler('cpu'))
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    wrapper = AmpLookaheadOptimWrapper(optimizer=optimizer)
    for batch in (torch.rand(5, 3), torch.full((5, 3), torch.inf)):
        wrapper.backward(model(batch).mean())
        next(model.parameters()).grad.mul_(batch.sum())  # infinite for the second
        wrapper.step()
        wrapper.zero_grad()
    assert wrapper.fast_steps == 1


@pytest.mark.parametrize('wrong', [dict(k=0), dict(alpha=0.0), dict(alpha=1.5)])
def test_what_would_not_train_is_refused(wrong):
    with pytest.raises(ValueError, match=r'give 1 step or more, and an alpha above 0 and up to 1'):
        wrap(network(), SGD, **wrong)


def test_geosegs_schedule_begins_each_cosine_at_the_full_rate():
    config = Config.fromfile(ROOT / 'configs' / '_base_' / 'schedules' / 'geoseg.py')
    model = nn.ModuleDict(dict(backbone=nn.Linear(2, 2), head=nn.Linear(2, 2)))
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    groups = wrapper.param_groups[:4]  # weight and bias of the backbone, then of the head
    assert [group['lr'] for group in groups] == pytest.approx([6e-5, 6e-5, 6e-4, 6e-4])
    assert [group['weight_decay'] for group in groups] == [0.01, 0.01, 0.01, 0.0]
    scheduler = PARAM_SCHEDULERS.build(dict(config.param_scheduler, optimizer=wrapper))
    rates = []
    for _ in range(config.train_cfg.max_epochs):
        rates.append(wrapper.param_groups[2]['lr'])
        wrapper.optimizer.step()
        scheduler.step()
    for start, period in ((0, 15), (15, 30), (45, 60)):
        for epoch in (0, 1, period // 2, period - 1):
            share = 0.5 * (1 + math.cos(math.pi * epoch / period))
            assert rates[start + epoch] == pytest.approx(6e-4 * share)
