import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from mmseg.registry import MODELS
from scenes.commands import run_tool
from scenes.encoders import tiny_dinov3
from scenes.models import samples, tiny_model, tiny_vit
from scenes.paths import ROOT
from scenes.training import run, write_training

from mobanet_mmseg.engine import precision
from mobanet_mmseg.engine.agreement import ConfigError, check_agreement
from mobanet_mmseg.engine.precision import Bf16OptimWrapper, set_precision
from mobanet_mmseg.models.dinov2 import DINOv2


def load(kind=None, **settings):
    config = Config.fromfile(ROOT / 'configs' / 'mobanet' / 'demo.py')
    config.optim_wrapper.update(settings if kind is None else dict(settings, type=kind))
    return config


def on(monkeypatch, device, bf16=True):
    """Let a device be the one that a training takes."""
    monkeypatch.setattr(precision, 'get_device', lambda: device)
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda including_emulation: bf16)


def losses_of(kind, encoder, steps=30):
    """Losses of a toy that learns how bright two images are; it draws alike whatever its type."""
    torch.manual_seed(1)
    shades = torch.rand(2, 1, 3, 4).repeat_interleave(14, 2).repeat_interleave(14, 3)
    batch = dict(
        inputs=list(200 * shades.expand(-1, 4, -1, -1)),
        data_samples=samples((shades * 3).long()[:, 0]),
    )
    config = tiny_model()
    config.backbone.encoder = encoder
    model = MODELS.build(config).train()
    wrapper = build_optim_wrapper(model, dict(type=kind, optimizer=dict(type='AdamW')))
    losses = []
    for step in range(steps):
        wrapper.param_groups[0]['lr'] = 1e-3 * min(1, (step + 1) / 10)  # as recipes warm up
        torch.manual_seed(step)
        np.random.seed(step)
        losses.append(model.train_step(batch, wrapper)['loss'].item())
    return np.array(losses)


@pytest.mark.parametrize('encoder', [tiny_vit(), tiny_dinov3(patch_size=14)])
def test_bf16_on_a_cpu_gives_the_losses_of_float32_within_2_per_cent(encoder):
    whole, mixed = losses_of('OptimWrapper', encoder), losses_of('Bf16OptimWrapper', encoder)
    assert whole[-10:].mean() < 0.95 * whole[:10].mean()  # it learns
    assert (mixed != whole).all()
    tens = mixed.reshape(3, 10).mean(axis=1) / whole.reshape(3, 10).mean(axis=1)
    np.testing.assert_allclose(tens, 1, atol=0.02)


def test_bf16_is_for_the_operations_and_neither_for_weights_nor_for_their_state():
    model = torch.nn.Linear(3, 2)
    wrapper = Bf16OptimWrapper(torch.optim.AdamW(model.parameters()))
    with wrapper.optim_context(model):
        found = model(torch.rand(4, 3))
    assert found.dtype == torch.bfloat16
    wrapper.update_params(found.sum())
    state = wrapper.optimizer.state[model.weight]
    assert {model.weight.dtype, state['exp_avg'].dtype} == {torch.float32}


def test_a_training_in_fp16_goes_on_in_bf16():
    model = torch.nn.Linear(3, 2)
    wrapper = Bf16OptimWrapper(torch.optim.AdamW(model.parameters(), lr=0.5))
    wrapper.load_state_dict({**wrapper.state_dict(), 'loss_scaler': {'scale': 65536.0}})
    assert wrapper.get_lr() == {'lr': [0.5]}


@pytest.mark.parametrize(
    ('device', 'asked', 'given', 'kind'),
    [
        ('cpu', 'auto', 'OptimWrapper', 'Bf16OptimWrapper'),
        ('cuda', 'auto', 'OptimWrapper', 'Bf16OptimWrapper'),
        ('npu', 'auto', 'OptimWrapper', 'AmpOptimWrapper'),
        ('cuda', 'fp16', 'OptimWrapper', 'AmpOptimWrapper'),
        ('cuda', 'fp16', 'Bf16OptimWrapper', 'AmpOptimWrapper'),
        ('cuda', 'bf16', 'AmpOptimWrapper', 'Bf16OptimWrapper'),
        ('cuda', 'bf16', 'LookaheadOptimWrapper', 'Bf16LookaheadOptimWrapper'),
        ('cuda', 'fp16', 'LookaheadOptimWrapper', 'AmpLookaheadOptimWrapper'),
    ],
)
def test_the_wrapper_is_that_of_the_precision(monkeypatch, device, asked, given, kind):
    on(monkeypatch, device)
    config = load(given, **dict(loss_scale='dynamic') if given.startswith('Amp') else {})
    set_precision(config, asked)
    wrapper = config.optim_wrapper
    assert wrapper.type == kind
    scaled = {'dtype': 'float16', 'loss_scale': 'dynamic'} if kind.startswith('Amp') else {}
    assert {key: wrapper[key] for key in ('dtype', 'loss_scale') if key in wrapper} == scaled


def test_a_gpu_that_would_emulate_bf16_takes_fp16(monkeypatch):
    on(monkeypatch, 'cuda', bf16=False)
    config = load()
    set_precision(config, 'auto')
    assert config.optim_wrapper.type == 'AmpOptimWrapper'
    check_agreement(config, ('train', 'val'))
    set_precision(config, 'bf16')
    with pytest.raises(ConfigError, match=r'\(--amp bf16\) needs a device .* take --amp fp16'):
        check_agreement(config, ('train', 'val'))


def test_fp16_needs_a_gpu(monkeypatch):
    on(monkeypatch, 'cpu')
    config = load('AmpOptimWrapper')
    with pytest.raises(ConfigError, match=r'AmpOptimWrapper \(--amp fp16\) needs a GPU.*--amp bf1'):
        check_agreement(config, ('train', 'val'))
    check_agreement(config, ('test',))
    on(monkeypatch, 'cuda')
    check_agreement(config, ('train', 'val'))


@pytest.mark.parametrize(
    ('dtype', 'refused'), [(None, True), ('float16', True), ('bfloat16', False)]
)
def test_fp16_is_refused_where_the_encoder_overflows(monkeypatch, dtype, refused):
    on(monkeypatch, 'cuda')
    monkeypatch.setattr(DINOv2, 'overflows_in_fp16', True)
    config = load('AmpOptimWrapper', dtype=dtype)
    if not refused:
        check_agreement(config, ('train', 'val'))
        return
    with pytest.raises(ConfigError, match=r'activations of DINOv2 overflow: take --amp bf16'):
        check_agreement(config, ('train', 'val'))


@pytest.mark.parametrize('name', ['potsdam_dinov3_s', 'vaihingen_dinov3_l'])
def test_dinov3_trains_in_bf16_and_not_in_fp16(monkeypatch, name):
    on(monkeypatch, 'cuda')
    config = Config.fromfile(ROOT / 'configs' / 'mobanet' / f'{name}.py')
    set_precision(config, 'auto')
    check_agreement(config, ('train', 'val'))
    set_precision(config, 'fp16')
    with pytest.raises(ConfigError, match=r'activations of DINOv3 overflow: take --amp bf16'):
        check_agreement(config, ('train', 'val'))


def test_the_command_trains_in_bf16_on_a_cpu_and_refuses_fp16(tmp_path, monkeypatch):
    folder = write_training(tmp_path)
    monkeypatch.chdir(folder)
    one_epoch = ('--cfg-options', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=9')
    run_tool(monkeypatch, 'train.py', '--amp', 'config.py', *one_epoch)
    checkpoint = torch.load(folder / 'work' / 'epoch_1.pth', weights_only=True)
    assert 'Bf16OptimWrapper' in checkpoint['meta']['cfg']
    dtypes = {value.dtype for value in checkpoint['state_dict'].values()}
    assert dtypes <= {torch.float32, torch.int64, torch.uint8}
    with pytest.raises(SystemExit, match=r'^error: .*\(--amp fp16\) needs a GPU'):
        run(monkeypatch, folder, 'train', '--amp', 'fp16')


def test_wrappers_are_what_the_hooks_ask_for():
    assert issubclass(Bf16OptimWrapper, OptimWrapper)
    assert not issubclass(Bf16OptimWrapper, AmpOptimWrapper)  # whose infinite gradients are let be
