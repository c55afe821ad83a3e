"""The encoder, the config and the proof of docs/add_an_encoder.md, as they stand there."""

import re
import sys

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.commands import run_tool
from scenes.encoders import metas_names, random_encoder
from scenes.paths import ROOT
from scenes.rasters import read_raster, write_potsdam, write_raster
from scenes.toy import toy

from mobanet_mmseg.engine.complexity import add_counts, build_without_memory, count_parameters

PAGE = (ROOT / 'docs' / 'add_an_encoder.md').read_text()
ENCODER, CONFIG, PROOF = re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL)
WEIGHTS = 'mae_vit_base_p16.pth'


def small(num_layers):
    return dict(embed_dims=16, num_layers=num_layers, num_heads=2, feedforward_channels=32)


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """The page's files in the working folder, where Python finds them; what they register goes."""
    (tmp_path / 'my_encoders.py').write_text(ENCODER)
    (tmp_path / 'my_config.py').write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    MODELS._module_dict.pop('PlainViT', None)
    sys.modules.pop('my_encoders', None)


def write_weights(kind, arch, img_size):
    """Write random weights as OpenMMLab or Meta publishes MAE's."""
    state = random_encoder(dict(type='PlainViT', arch=arch, img_size=img_size)).vit.state_dict()
    if kind == 'Meta':
        torch.save({'model': metas_names(state)}, WEIGHTS)
        return
    parts = {f'backbone.{name}': value for name, value in state.items()}
    decoder = {'neck.mask_token': torch.zeros(1, 1, 16), 'neck.ln1.weight': torch.ones(16)}
    torch.save({'meta': {}, 'state_dict': {**parts, **decoder}}, WEIGHTS)


def test_the_encoder_and_its_config_are_short_and_whole(beside):
    assert len([*ENCODER.splitlines(), *CONFIG.splitlines()]) < 60
    parts = count_parameters(build_without_memory(Config.fromfile('my_config.py')))
    counts = add_counts(parts)
    # as of SAM's and DINOv3's ViT-B/16 at the paper's budget
    assert (counts.trainable, parts['backbone.encoder'].trainable) == (6_320_770, 0)
    assert parts['backbone.encoder'].total == 85_798_656  # mmpretrain's ViT-B/16 without a head


def test_the_pages_proof_holds(beside):
    """At full depth and toy width."""
    config = (beside / 'my_config.py').read_text().replace("arch='base'", f'arch={small(12)}')
    (beside / 'my_config.py').write_text(config)
    proof = {}
    exec(compile(PROOF, 'test_my_encoders.py', 'exec'), proof)
    write_weights('OpenMMLab', small(12), img_size=224)
    for size in [(224, 224), (160, 288)]:
        proof['test_the_weights_give_the_publishers_features'](size)
    proof['test_a_file_of_another_native_grid_is_resized']()
    proof['test_two_steps_move_the_adapters_and_nothing_else']()


def test_the_pages_command_trains_what_predicts(beside, monkeypatch):
    """With Meta's file, which is of another native grid than the toy."""
    config = Config.fromfile('my_config.py')
    pretrained = config.model.backbone.encoder.init_cfg
    config.model = toy(config)
    encoder = config.model.backbone.encoder
    encoder.init_cfg = pretrained
    config.model.backbone.allow_random_encoder = False
    write_weights('Meta', encoder.arch.to_dict(), img_size=112)
    write_potsdam(beside / 'data', ['2_10', '2_13'])
    for name, tile in (('train', '2_10'), ('val', '2_13'), ('test', '2_13')):
        loader = config[f'{name}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root='data', tiles=[tile])
    config.train_dataloader.batch_size = 2
    config.train_dataloader.sampler.update(num_samples=2, window_size=(32, 48))
    config.train_cfg.max_epochs = config.default_hooks.checkpoint.interval = 1
    config.dump('toy.py')
    run_tool(monkeypatch, 'train.py', 'toy.py', '--work-dir', 'work')
    checkpoint = torch.load('work/epoch_1.pth', weights_only=True)
    kept = [name for name in checkpoint['state_dict'] if '.encoder.vit.' in name]
    assert kept == ['backbone.encoder.vit.pos_embed']  # resized: the file has not these
    assert checkpoint['meta']['frozen_encoders']['backbone.encoder']['licence'] == 'CC-BY-NC-4.0'
    rng = np.random.default_rng(0)
    write_raster(beside / 'rgb.tif', rng.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    write_raster(beside / 'dsm.tif', rng.uniform(30, 60, (200, 300)).astype(np.float32))
    rasters = ('--rgb', 'rgb.tif', '--aux', 'dsm.tif', '--out', 'map.tif', '--device', 'cpu')
    run_tool(monkeypatch, 'predict.py', 'toy.py', 'work/epoch_1.pth', *rasters)
    assert read_raster(beside / 'map.tif').shape == (200, 300)
