import json
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import HOOKS, MODELS
from scenes.models import samples, tiny_model
from scenes.training import run, write_training

from mobanet_mmseg.engine.balance_hook import stream_weights

LOGGER = logging.getLogger('balance')


def scene(**changes):
    """A runner of a toy model, and what its visualizer is told."""
    torch.manual_seed(0)
    model = MODELS.build(tiny_model(**changes)).train()
    for name, parameter in model.named_parameters():
        if '.up.' in name:  # else no gradient passes the adapters in the first step
            torch.nn.init.normal_(parameter)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    wrapper = OptimWrapper(torch.optim.SGD(trained, lr=1.0))
    told = []
    visualizer = SimpleNamespace(add_scalars=lambda scalars, step: told.append((step, scalars)))
    fields = dict(model=model, optim_wrapper=wrapper, visualizer=visualizer, logger=LOGGER, iter=0)
    return SimpleNamespace(**fields, hooks=[]), told


def losses_of(model, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (2, 28, 42), generator=generator)
    inputs = torch.rand(2, 4, 28, 42, generator=generator)
    return model.parse_losses(model.loss(inputs, samples(labels)))[0]


def train(runner, interval, iterations, accumulative=1):
    hook = HOOKS.build(dict(type='BalanceHook', interval=interval))
    hook.before_train(runner)
    runner.optim_wrapper._accumulative_counts = accumulative
    runner.optim_wrapper.initialize_count_status(runner.model, 0, iterations)
    for runner.iter in range(iterations):
        hook.before_train_iter(runner, runner.iter)
        with runner.optim_wrapper.optim_context(runner.model):
            loss = losses_of(runner.model)
        runner.optim_wrapper.update_params(loss)
        hook.after_train_iter(runner, runner.iter)


def test_gates_and_gradients_are_those_of_the_step(caplog):
    runner, told = scene()
    model = runner.model
    for stage, fusion in enumerate(model.neck.fusions):
        torch.nn.init.constant_(fusion.gate[-1].bias, float(stage) - 1)
    names = {
        stream: [
            *(f'reduce_{stream}.weight', f'reduce_{stream}.bias'),
            *(f'tft_{stream}.gamma', f'tft_{stream}.beta'),
            *(f'adapter_{stream}.{part}' for part in ('down.weight', 'down.bias', 'inject.weight')),
            *(f'adapter_{stream}.{part}' for part in ('inject.bias', 'up.weight', 'up.bias')),
        ]
        for stream in ('rgb', 'aux')
    }
    torch.manual_seed(1)  # of the dropout
    losses_of(model).backward()
    expected = {
        stream: sum(
            float(cpia.get_parameter(name).grad.square().sum())
            for cpia in model.backbone.cpia
            for name in own
        )
        ** 0.5
        for stream, own in names.items()
    }
    model.zero_grad()
    torch.manual_seed(1)
    with caplog.at_level(logging.INFO):
        train(runner, interval=1, iterations=1)
    ((step, scalars),) = told
    assert step == 1
    gates = torch.tensor([scalars[f'balance/gate_stage{stage}'] for stage in range(1, 5)])
    torch.testing.assert_close(gates, torch.tensor([-1.0, 0.0, 1.0, 2.0]).sigmoid())
    for stream in ('rgb', 'aux'):
        assert scalars[f'balance/grad_norm_{stream}'] == pytest.approx(expected[stream], rel=1e-4)
    assert len(scalars) == 6
    assert 'Balance: gate (weight of rgb) 0.269 0.500 0.731 0.881 by stage; norm of' in caplog.text


def test_only_the_iterations_of_the_log_are_watched():
    runner, told = scene()
    train(runner, interval=3, iterations=7)
    assert [step for step, _ in told] == [3, 6]
    assert not any(module._forward_hooks for module in runner.model.neck.modules())


def test_gradients_that_wait_for_their_step_are_not_told():
    runner, told = scene()
    train(runner, interval=1, iterations=2, accumulative=2)
    assert ['balance/grad_norm_aux' in scalars for _, scalars in told] == [False, True]


def test_a_model_without_gates_and_adapters_is_passed_by_in_silence(caplog):
    config = tiny_model()
    config.backbone.cpia = None
    config.neck.gated = False
    runner, told = scene(backbone=config.backbone, neck=config.neck)
    assert stream_weights(runner.model) == {}
    with caplog.at_level(logging.INFO):
        train(runner, interval=1, iterations=1)
    assert not told
    assert not caplog.text


def test_weights_of_one_stream_are_found_by_name_and_frozen_ones_left_out():
    model = torch.nn.Module()
    model.backbone = torch.nn.ModuleDict(
        dict(rgb=torch.nn.Linear(2, 3), aux=torch.nn.Linear(2, 1), aux_embed=torch.nn.Linear(2, 5))
    )
    model.backbone['rgb'].bias.requires_grad_(False)
    found = stream_weights(model)
    assert {stream: [w.parameter.numel() for w in own] for stream, own in found.items()} == {
        'rgb': [6],
        'aux': [2, 1],
    }


def test_each_stream_has_its_half_of_loras_matrices():
    config = tiny_model()
    config.backbone.update(cpia=None, adapter=dict(type='LoRA', rank=2))
    runner, told = scene(backbone=config.backbone)
    torch.nn.init.normal_(runner.model.backbone.adapter.updates[0].up)
    torch.manual_seed(1)  # of the dropout
    losses_of(runner.model).backward()
    updates = runner.model.backbone.adapter.updates
    expected = [
        sum(float(each.grad[half].square().sum()) for u in updates for each in (u.down, u.up))
        for half in (0, 1)
    ]
    runner.model.zero_grad()
    torch.manual_seed(1)
    train(runner, interval=1, iterations=1)
    ((_, scalars),) = told
    assert scalars['balance/grad_norm_rgb'] == pytest.approx(expected[0] ** 0.5, rel=1e-4)
    assert scalars['balance/grad_norm_aux'] == pytest.approx(expected[1] ** 0.5, rel=1e-4)
    assert expected[0] > 0


def test_a_training_writes_the_balance_where_its_other_scalars_are(tmp_path, monkeypatch):
    write_training(tmp_path)
    options = ['default_hooks.logger.interval=1', 'train_cfg.val_interval=9']
    run(monkeypatch, tmp_path, 'train', '--cfg-options', *options)
    (scalars,) = (tmp_path / 'work').rglob('scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    balance = [line for line in lines if 'balance/gate_stage1' in line]
    assert [line['step'] for line in balance] == [1, 2]
    assert balance[0]['balance/gate_stage4'] == 0.5  # an untrained gate
    (log,) = (tmp_path / 'work').rglob('*.log')
    assert log.read_text().count('Balance: gate (weight of rgb) ') == 2
