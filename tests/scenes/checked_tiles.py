"""Tiles whose image, heights and labels have their edges in the same places, and a config."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from scenes.rasters import write_raster

from mobanet_mmseg.checks.checks import check_config

CLASSES = ['ground', 'house', 'tree']
PALETTE = [[200, 200, 200], [255, 0, 0], [0, 255, 0]]
SHAPE = (96, 128)
MODEL = {
    'data_preprocessor': {
        'type': 'MultimodalDataPreProcessor',
        'mean': [120.0, 120.0, 120.0, 0.0],
        'std': [60.0, 60.0, 60.0, 1.0],
        'size_divisor': 8,
        'mcrm': {'ratio': 0.5},
    }
}


def tile_pixels(shape: tuple[int, int] = SHAPE, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Optical uint8 (H, W, 3), heights float32 (H, W) in metres and labels uint8 (H, W)."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    for index in range(16):
        row, col = rng.integers(0, shape[0] - 8), rng.integers(0, shape[1] - 8)
        h, w = rng.integers(5, 28, 2)
        labels[row : row + h, col : col + w] = index % 3
    labels[:4, :9], labels[-5:, -7:] = 1, 2
    colours = np.array([[90, 100, 110], [200, 60, 50], [30, 180, 60]])
    optical = (colours[labels] + rng.normal(0, 8, (*shape, 3))).clip(0, 255).astype(np.uint8)
    heights = np.array([30, 40, 36])[labels] + rng.normal(0, 0.2, shape)
    return optical, heights.astype(np.float32), labels


def write_tile(root: Path, stem: str, seed: int, shape: tuple[int, int] = SHAPE) -> None:
    """Write a tile into the folders rgb, dsm and labels."""
    for folder, pixels in zip(('rgb', 'dsm', 'labels'), tile_pixels(shape, seed), strict=True):
        write_raster(root / folder / f'{stem}.tif', pixels)


def tiles_config(root: Path, train: str = 'a', test: str = 'b', **dataset) -> Config:
    """Config of the tiles whose stems are given, one letter each."""
    for name, stems in (('train', train), ('test', test)):
        (root / f'{name}.txt').write_text('\n'.join(stems))
    common = {
        'type': 'MultimodalSegDataset',
        'data_root': str(root),
        'data_prefix': {'img_path': 'rgb', 'aux_path': 'dsm', 'seg_map_path': 'labels'},
        'metainfo': {'classes': CLASSES, 'palette': PALETTE},
        'pipeline': [
            {'type': 'LoadMultimodalRaster'},
            {'type': 'LoadRasterAnnotations'},
            {'type': 'PackSegInputs', 'meta_keys': ('img_path', 'window', 'img_shape')},
        ],
        **dataset,
    }
    sampler = {'type': 'RandomWindowSampler', 'num_samples': 8, 'window_size': (40, 48)}
    tests = {
        'batch_size': 1,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'dataset': {**common, 'ann_file': 'test.txt', 'test_mode': True},
    }
    return Config(
        {
            'model': MODEL,
            'train_dataloader': {
                'batch_size': 4,
                'num_workers': 1,
                'persistent_workers': True,
                'sampler': sampler,
                'dataset': {**common, 'ann_file': 'train.txt'},
            },
            'val_dataloader': tests,
            'test_dataloader': tests,
            'randomness': {'seed': 1},
        }
    )


def said(root: Path, split='all', **settings) -> list[tuple[str, str, str]]:
    """Check the tiles of a folder; give (level, split, text) of each finding."""
    checks = check_config(tiles_config(root, **settings), split)
    return [(finding.level, finding.split, finding.text) for finding in checks.findings]


def the_only(findings: list):
    """The one finding that there is."""
    assert len(findings) == 1, findings
    return findings[0]
