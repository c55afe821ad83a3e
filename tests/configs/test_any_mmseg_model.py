"""The configs of docs/any_mmseg_model.md, as they stand there, from training to a GeoTIFF."""

import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.commands import run_tool
from scenes.paths import ROOT
from scenes.rasters import read_raster, write_raster
from scenes.toy import toy

BLOCKS = re.findall(
    r'```python\n(.*?)```', (ROOT / 'docs' / 'any_mmseg_model.md').read_text(), re.DOTALL
)
OPTICAL, FOURTH_CHANNEL, OTHER_FILES = BLOCKS
FORMS = {
    'optical': OPTICAL,
    'early fusion': OPTICAL.split('model = ')[0].replace('multimodal_rgb.py', 'multimodal.py')
    + FOURTH_CHANNEL,
    'no file of its own': OTHER_FILES,
}
CHANNELS = {'optical': (3, 0), 'early fusion': (3, 1), 'no file of its own': (3, 0)}


def written(text, folder):
    path = folder / 'segformer_mine.py'
    path.write_text(text)
    return path


@pytest.mark.parametrize('form', FORMS)
def test_a_config_of_the_page_is_a_whole_one(form, tmp_path):
    assert len(FORMS[form].splitlines()) <= 25
    config = Config.fromfile(written(FORMS[form], tmp_path))
    model = config.model
    assert model.data_preprocessor.modality_channels == CHANNELS[form]
    assert model.decode_head.num_classes == config.num_classes == 2
    assert (config.train_dataloader.dataset.data_prefix.aux_path is None) == (
        not CHANNELS[form][1]
    )
    built = MODELS.build(toy(config)).eval()
    size = (sum(CHANNELS[form]), 37, 53)
    assert built.encode_decode(torch.rand(1, *size), [dict(img_shape=size[1:])]).shape[1] == 2


def write_rasters(folder):
    """Two tiles, a building where it is bright."""
    rng = np.random.default_rng(0)
    for stem in ('A', 'B'):
        label = np.kron(rng.integers(0, 2, (8, 8)), np.ones((8, 8), int)).astype(np.uint8)
        colours = np.repeat(40 + 150 * label[..., None], 3, axis=-1).astype(np.uint8)
        write_raster(folder / 'optical' / f'{stem}.tif', colours)
        write_raster(folder / 'height' / f'{stem}.tif', label.astype(np.float32))
        write_raster(folder / 'labels' / f'{stem}.tif', label)
    for split, stem in (('train', 'A'), ('test', 'B')):
        (folder / f'{split}.txt').write_text(f'{stem}\n')


def toy_training(path, folder, pretrained):
    """The page's config at toy size: one epoch of two steps, from weights of three channels."""
    config = Config.fromfile(path)
    config.model = toy(config)
    weights = MODELS.build(dict(config.model.backbone, in_channels=3)).state_dict()
    torch.save(weights, pretrained)
    config.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=str(pretrained))
    config.train_dataloader.sampler.update(num_samples=4, window_size=(28, 42))
    config.train_dataloader.batch_size = 2
    for split in ('train', 'val', 'test'):
        config[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False)
        config[f'{split}_dataloader'].dataset.data_root = str(folder)
    config.train_cfg.update(max_epochs=1, val_interval=1)
    config.default_hooks.checkpoint.interval = 1
    config.work_dir = str(path.parent / 'work')
    config.dump(path.parent / 'toy.py')


@pytest.mark.parametrize('form', ['optical', 'early fusion'])
def test_the_pages_commands_end_in_a_map(form, tmp_path, monkeypatch):
    write_rasters(tmp_path / 'data')
    path = written(FORMS[form], tmp_path)
    toy_training(path, tmp_path / 'data', tmp_path / 'rgb.pth')
    monkeypatch.chdir(tmp_path)
    run_tool(monkeypatch, 'train.py', 'toy.py')
    (log,) = (tmp_path / 'work').glob('*/*.log')
    sentence = 'takes 4 channels and its pretrained weights 3'
    assert (sentence in log.read_text()) == (form == 'early fusion')
    trained = ('toy.py', 'work/epoch_1.pth')
    run_tool(monkeypatch, 'test.py', *trained, '--tta', '--modality', 'rgb', '--out', 'maps')
    assert read_raster(tmp_path / 'maps' / 'B.tif').shape == (64, 64)
    aux = ('--aux', 'data/height/B.tif') if CHANNELS[form][1] else ()
    rgb = ('--rgb', 'data/optical/B.tif', '--out', 'labels.tif', '--device', 'cpu')
    run_tool(monkeypatch, 'predict.py', *trained, *rgb, *aux)
    assert read_raster(tmp_path / 'labels.tif').shape == (64, 64)
