"""The script and the config of docs/modalities.md, as they stand there."""

import re
import runpy

import numpy as np
import rasterio
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from rasterio.transform import from_origin
from scenes.paths import ROOT
from scenes.toy import toy

PAGE = (ROOT / 'docs' / 'modalities.md').read_text()
JOIN, CONFIG = re.findall(r'```python\n(.*?)```', PAGE, re.DOTALL)


def write(path, bands, cell):
    """Write (bands, H, W) values from one corner on, in cells of so many metres."""
    profile = dict(driver='GTiff', dtype='float32', crs='EPSG:32633', count=len(bands))
    place = from_origin(500000, 5800000, cell, cell)
    height, width = bands.shape[1:]
    with rasterio.open(path, 'w', height=height, width=width, transform=place, **profile) as file:
        file.write(bands.astype(np.float32))


def test_bands_of_two_grids_are_joined_on_the_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    height = np.arange(32 * 48).reshape(1, 32, 48)
    sar = np.stack([np.full((16, 24), -12.0), np.full((16, 24), -20.0)])
    sar[:, :5] = np.nan
    write('height.tif', height, cell=1)
    write('sar.tif', sar, cell=2)
    (tmp_path / 'join.py').write_text(JOIN)
    monkeypatch.setattr('sys.argv', ['join.py', 'aux.tif', 'height.tif', 'sar.tif'])
    runpy.run_path('join.py')
    with rasterio.open('aux.tif') as joined, rasterio.open('height.tif') as like:
        assert (joined.transform, joined.shape, joined.crs) == (
            like.transform,
            like.shape,
            like.crs,
        )
        first, second, third = joined.read()
    assert np.array_equal(first, height[0])  # holes of the one leave the other as it is
    assert np.isnan(second[:8]).all() and (second[12:] == -12).all() and (third[12:] == -20).all()


def test_the_config_builds_three_auxiliary_channels(tmp_path):
    (tmp_path / 'data/mine').mkdir(parents=True)
    loaders = '\n'.join(f'{split}_dataloader = dict(dataset=dict())' for split in ('train', 'val'))
    (tmp_path / 'data/mine/dataset.py').write_text(f'num_classes = 2\n{loaders}\n')
    (tmp_path / 'three_mine.py').write_text(CONFIG)
    config = Config.fromfile(tmp_path / 'three_mine.py')
    low, high = config.train_dataloader.dataset.aux_range
    assert len(low) == len(high) == 3
    model = MODELS.build(toy(config)).eval()
    size = (6, 37, 53)
    assert model.encode_decode(torch.rand(1, *size), [dict(img_shape=size[1:])]).shape[1] == 2
