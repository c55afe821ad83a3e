"""Tiles whose labels are drawn by what a toy MoBaNet finds likely, at a known temperature."""

from pathlib import Path

import numpy as np
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.models import EncoderDecoder
from scenes.inferencer import MEAN, STD, centre
from scenes.models import tiny_model
from scenes.prediction import CLASSES, META, PALETTE, write_trained
from scenes.rasters import write_raster
from torch import Tensor

from mobanet_mmseg.inference.inferencer import MultimodalInferencer

TEMPERATURE = 0.5
SPREAD = 2.0  # of the logits, so that the network is sure of some pixels
SIZE = (61, 95)
DATASET = {
    'type': 'MultimodalSegDataset',
    'metainfo': {'classes': CLASSES[:3], 'palette': PALETTE[:3]},
    'data_prefix': {'img_path': 'img', 'aux_path': 'aux', 'seg_map_path': 'label'},
    'aux_range': None,
    'test_mode': True,
}
PATHS = ('img', 'aux', 'label')


def write_calibration(folder: Path, stems: str = 'ab') -> tuple[Path, Path]:
    """Write a config, a checkpoint and labelled tiles; the last 5 columns have no label."""
    init_default_scope('mmseg')
    torch.manual_seed(0)
    dataset = {**DATASET, 'data_root': str(folder)}
    meta = {**META, **DATASET['metainfo']}
    config, checkpoint = write_trained(folder, tiny_model().to_dict(), dataset, meta)
    settings = Config.fromfile(config)
    loader = {'dataset': dataset}
    settings.merge_from_dict({'test_dataloader': loader, 'val_dataloader': loader})
    settings.dump(config)
    rng = np.random.default_rng(0)
    inputs = {stem: _write_images(folder, stem, rng) for stem in stems}
    centre(config, checkpoint, torch.cat(list(inputs.values()), dim=-1))
    content = torch.load(checkpoint, weights_only=True)
    model = MultimodalInferencer(config, checkpoint, device='cpu').model
    spread = float(mean_logits(model, inputs[stems[0]]).std())
    for name in ('weight', 'bias'):
        content['state_dict'][f'decode_head.conv_seg.{name}'] *= SPREAD / spread
    torch.save(content, checkpoint)
    model = MultimodalInferencer(config, checkpoint, device='cpu').model
    for stem in stems:
        shares = (mean_logits(model, inputs[stem]) / TEMPERATURE).softmax(dim=0)
        drawn = shares.flatten(1).T.multinomial(1).view(SIZE).to(torch.uint8).numpy()
        drawn[:, -5:] = 255
        write_raster(folder / f'label/{stem}.tif', drawn)
    return config, checkpoint


def mean_logits(model: EncoderDecoder, inputs: Tensor) -> Tensor:
    """Logits (K, H, W) of MMSegmentation's own slide mode: means over the windows."""
    with torch.no_grad():
        return EncoderDecoder.slide_inference(model, inputs, [{'img_shape': inputs.shape[2:]}])[0]


def inputs_of(folder: Path, stem: str) -> Tensor:
    """What the network gets of a tile."""
    bands = []
    for name in PATHS[:2]:
        with rasterio.open(folder / name / f'{stem}.tif') as raster:
            bands.append(raster.read().astype(np.float32))
    mean, std = (torch.tensor(values).view(4, 1, 1) for values in (MEAN, STD))
    return ((torch.from_numpy(np.concatenate(bands)) - mean) / std)[None]


def _write_images(folder: Path, stem: str, rng: np.random.Generator) -> Tensor:
    ramp = np.linspace(0, 1, SIZE[1])
    rgb = rng.integers(0, 256, (*SIZE, 3)) * ramp[::-1, None]
    write_raster(folder / f'img/{stem}.tif', rgb.astype(np.uint8))
    heights = rng.uniform(0, 1, SIZE) * ramp
    write_raster(folder / f'aux/{stem}.tif', heights.astype(np.float32))
    return inputs_of(folder, stem)
