"""A segmentor that reads its prediction off one channel, and tiles whose metrics are counted."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import save_checkpoint
from mmseg.models import BaseSegmentor, EncoderDecoder
from mmseg.registry import MODELS
from scenes.commands import run_tool
from scenes.paths import ROOT
from scenes.rasters import write_raster
from torch import Tensor

# 24 pixels, 6 of them houses: a guess of no house at all is right for 75 % of the pixels
TRUTH = np.zeros((4, 6), np.uint8)
TRUTH[0, :] = 1
LEGEND = dict(classes=('ground', 'house'), palette=[[255, 255, 255], [0, 0, 255]])
RUNTIME = Config.fromfile(ROOT / 'configs' / '_base_' / 'default_runtime.py')


@MODELS.register_module()
class ChannelReader(EncoderDecoder):
    """Sees a house where one channel is above zero."""

    def __init__(self, channel: int, data_preprocessor: dict) -> None:
        BaseSegmentor.__init__(self, data_preprocessor=data_preprocessor)
        self.channel = channel
        self.out_channels = 2
        self.align_corners = False
        self.test_cfg = Config(dict(mode='whole'))
        self.weight = torch.nn.Parameter(torch.ones(()))

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        house = inputs[:, self.channel] > 0
        return torch.stack([~house, house], dim=1) * 5 * self.weight


def write_experiment(folder: Path, channel: int, **overrides) -> Path:
    """Write a tile whose red channel and whose aux are its truth, a config and a checkpoint."""
    colours = np.stack([200 * TRUTH, np.full_like(TRUTH, 90), np.full_like(TRUTH, 90)], axis=-1)
    write_raster(folder / 'data' / 'img' / 'tile.tif', colours)
    write_raster(folder / 'data' / 'aux' / 'tile.tif', TRUTH.astype(np.float32))
    write_raster(folder / 'data' / 'label' / 'tile.tif', TRUTH)
    base = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / 'multimodal.py')
    preprocessor = dict(type='MultimodalDataPreProcessor', mean=[0] * 4, std=[1] * 4)
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='MultimodalSegDataset',
            data_root='data',
            metainfo=LEGEND,
            data_prefix=dict(img_path='img', aux_path='aux', seg_map_path='label'),
            test_mode=True,
            pipeline=base.test_pipeline,
        ),
    )
    settings = dict(
        RUNTIME,
        model=dict(type='ChannelReader', channel=channel, data_preprocessor=preprocessor),
        test_dataloader=loader,
        test_evaluator=dict(type='ISPRSMetric', excluded_classes=()),
        test_cfg=dict(type='TestLoop'),
        work_dir='work',
    )
    config = Config(settings)
    config.merge_from_dict(overrides)
    config.dump(folder / 'config.py')
    weights = dict(meta=dict(dataset_meta=LEGEND), state_dict=dict(weight=torch.ones(())))
    save_checkpoint(weights, str(folder / 'model.pth'))
    return folder


def run(patch, folder: Path, tool: str, *arguments: object) -> None:
    """Run a file of tools/ with the config and the checkpoint of a folder, from that folder."""
    patch.chdir(folder)
    run_tool(patch, tool, 'config.py', 'model.pth', *arguments)
