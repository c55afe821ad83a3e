import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmseg.registry import HOOKS, MODELS
from scenes.models import tiny_model, tiny_vit

from mobanet_mmseg.engine import training_report
from mobanet_mmseg.engine.training_report import describe_frozen

LOGGER = logging.getLogger('report')
CONFIG = Config(dict(train_dataloader=dict(batch_size=12)))


def start(caplog, model, max_iters):
    """What the log says as a training of a model starts."""
    runner = SimpleNamespace(model=model, logger=LOGGER, cfg=CONFIG, max_iters=max_iters)
    with caplog.at_level(logging.INFO):
        HOOKS.build(dict(type='TrainableParametersHook')).before_train(runner)
    return caplog.text


def test_trainable_and_frozen_parameters_are_logged_before_training(caplog):
    model = MODELS.build(tiny_model())
    text = start(caplog, model, max_iters=99)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert f'Trainable parameters: {trainable:,} (' in text
    assert 'backbone.cpia' in text
    assert 'GiB' not in text  # too short a training for an estimate
    assert 'Frozen: backbone.encoder, a DINOv2 of 4 blocks, ' in text


def test_frozen_encoders_are_named_with_the_file_of_their_weights():
    backbone = {**tiny_model().backbone, 'encoder': tiny_vit(init_cfg=None)}
    model = MODELS.build(tiny_model(backbone=backbone))
    encoder = model.backbone.encoder
    count = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    frozen = (
        'Frozen: backbone.encoder, a DINOv2 of 4 blocks, 16 channels and patches of 14 pixels, '
        f'{count:.1f} M parameters, with '
    )
    assert list(describe_frozen(model)) == [f'{frozen}random weights']
    encoder.pretrained = dict(type='Pretrained', checkpoint='weights/tiny.pth')
    encoder.weights_given = True
    assert list(describe_frozen(model)) == [f'{frozen}the weights of weights/tiny.pth (Apache-2.0)']
    encoder.requires_grad_(True)
    assert list(describe_frozen(model)) == []


def test_the_memory_of_a_step_is_estimated_and_a_gpu_that_has_less_is_warned_of(
    caplog, monkeypatch
):
    gib = 2**30
    monkeypatch.setattr(training_report, 'estimate_step_memory', lambda config: 3 * gib)
    text = start(caplog, MODELS.build(tiny_model()), max_iters=100)
    assert 'A training step on a batch of 12 takes about 3.00 GiB (estimated).' in text
    properties = SimpleNamespace(total_memory=2 * gib)
    monkeypatch.setattr(torch.cuda, 'get_device_properties', lambda device: properties)
    on_gpu = SimpleNamespace(device=torch.device('cuda'))
    runner = SimpleNamespace(
        model=SimpleNamespace(parameters=lambda: iter([on_gpu])), logger=LOGGER, cfg=CONFIG
    )
    training_report._report_memory(runner)
    (warning,) = (record for record in caplog.records if record.levelno == logging.WARNING)
    assert 'and the GPU has 2.00 GiB: set model.backbone.with_cp=True' in warning.message


@pytest.mark.parametrize(('max_iters', 'said'), [(50_000, 1), (20, 0), (19, 0)])
def test_the_time_of_the_whole_training_is_told_once_20_iterations_have_run(
    caplog, max_iters, said
):
    hook = HOOKS.build(dict(type='TrainableParametersHook'))
    scalars = {'train/time': HistoryBuffer(), 'train/data_time': HistoryBuffer()}
    hub = SimpleNamespace(log_scalars=scalars)
    runner = SimpleNamespace(message_hub=hub, logger=LOGGER, max_iters=max_iters)
    with caplog.at_level(logging.INFO):
        for runner.iter in range(min(max_iters, 40)):
            # the first five warm up: 7 s each
            scalars['train/time'].update(7.0 if runner.iter < 5 else 0.36)
            scalars['train/data_time'].update(0.04)
            hook.after_train_iter(runner, runner.iter)
    times = [record.message for record in caplog.records]
    assert len(times) == said
    # 49,980 x 0.36 s = 17,992.8 s
    expected = (
        'An iteration takes 0.36 s, of which 0.04 s wait for windows: 49,980 iterations are left, '
        '4:59:53 without validations.'
    )
    assert times == [expected] * said
