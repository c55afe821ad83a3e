"""A pair of rasters whose label map is known by hand, and a segmentor that gives it."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config, ConfigDict
from mmseg.models import BaseSegmentor, EncoderDecoder
from mmseg.registry import MODELS
from rasterio.crs import CRS
from rasterio.transform import Affine
from scenes.rasters import write_raster
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ('red', 'green', 'blue', 'high')
PALETTE = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]
META = {'classes': CLASSES, 'palette': PALETTE}
UTM = CRS.from_epsg(32633)
ROTATED = Affine(0.04, 0.03, 368000, 0.03, -0.04, 5808000)
DATASET = {'type': 'MultimodalSegDataset', 'data_root': 'nowhere', 'metainfo': META}

STOCK = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[100.0] * 4,
        std=[50.0] * 4,
        test_cfg=dict(size_divisor=32),
    ),
    backbone=dict(
        type='ResNetV1c',
        depth=18,
        in_channels=4,
        stem_channels=4,
        base_channels=4,
        norm_cfg=dict(type='BN'),
    ),
    decode_head=dict(
        type='FCNHead',
        in_channels=32,
        channels=4,
        num_convs=1,
        num_classes=len(CLASSES),
        align_corners=False,
    ),
    test_cfg=dict(mode='slide', crop_size=(40, 56), stride=(20, 30)),
)


@MODELS.register_module()
class LargestChannel(EncoderDecoder):
    """Each pixel's class is its largest channel, of four that the preprocessor brings to 0..1."""

    def __init__(
        self,
        data_preprocessor: dict,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        pretrained: str | None = None,
    ) -> None:
        BaseSegmentor.__init__(self, data_preprocessor=data_preprocessor)
        self.align_corners = False
        self.out_channels = 4
        self.test_cfg = ConfigDict(test_cfg)
        self.gain = nn.Parameter(torch.ones(4, 1, 1))

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        return inputs * self.gain


@MODELS.register_module()
class SmoothedChannel(LargestChannel):
    """Its logits depend on the window they are seen in, as those of a real network do."""

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        return functional.avg_pool2d(inputs * self.gain, 5, stride=1, padding=2)


def config_text(dataset: dict) -> str:
    return f"""
default_scope = 'mmseg'
model = dict(
    type='LargestChannel',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor', mean=[0.0] * 4, std=[255.0, 255.0, 255.0, 1.0]),
    test_cfg=dict(mode='slide', crop_size=(16, 24), stride=(8, 12), batch_size=4))
test_dataloader = dict(dataset={dataset!r})
"""


def write_scene(tmp_path: Path) -> dict:
    """Write a config, a checkpoint and 37 x 53 rasters whose label map is known by hand."""
    rgb = np.full((37, 53, 3), 51, np.uint8)  # 0.2 each
    rgb[:, :20, 0] = 204  # 0.8
    rgb[:, 20:35, 1] = 128  # 0.5
    rgb[30:, :, 2] = 230  # 0.9
    heights = np.full((37, 53), 10, np.float32)  # 0 of 1
    heights[5:15] = 20  # 0.5: below red's 0.8 and green's 128 / 255, above 0.2
    heights[15:20, 10:] = 30  # 1
    expected = np.zeros((37, 53), np.uint8)
    expected[:, 20:35] = 1
    expected[:, 35:] = 0  # all three are 0.2: the first
    expected[30:] = 2
    expected[5:15, 35:] = 3
    expected[15:20, 10:] = 3
    paths = {name: tmp_path / f'{name}.tif' for name in ('rgb', 'aux', 'out')}
    write_raster(paths['rgb'], rgb, crs=UTM, transform=ROTATED)
    write_raster(paths['aux'], heights, crs=UTM, transform=ROTATED)
    paths['config'], paths['checkpoint'] = tmp_path / 'config.py', tmp_path / 'model.pth'
    paths['config'].write_text(config_text(DATASET))
    content = {'state_dict': {'gain': torch.ones(4, 1, 1)}, 'meta': {'dataset_meta': META}}
    torch.save(content, paths['checkpoint'])
    return {**paths, 'expected': expected}


def write_trained(
    folder: Path, model: dict, dataset: dict | None = None, meta: dict | None = None
) -> tuple[Path, Path]:
    """Write a config and a checkpoint of a model with random weights."""
    config, checkpoint = folder / 'trained.py', folder / 'trained.pth'
    content = {'default_scope': 'mmseg', 'model': model}
    content['test_dataloader'] = {'dataset': dataset or DATASET}
    Config(content).dump(config)
    weights = MODELS.build(Config(content).model).state_dict()
    count = model['decode_head']['num_classes']
    meta = meta or {'classes': CLASSES[:count], 'palette': PALETTE[:count]}
    torch.save({'state_dict': weights, 'meta': {'dataset_meta': meta}}, checkpoint)
    return config, checkpoint
