"""Inferencers of the scene whose label map is known, and of a toy MoBaNet."""

from pathlib import Path

import numpy as np
import torch
from mmengine.config import ConfigDict
from scenes.models import tiny_model
from scenes.prediction import ROTATED, UTM, write_trained
from scenes.rasters import write_raster
from torch import Tensor

from mobanet_mmseg.inference.inferencer import MultimodalInferencer

MEAN, STD = [100.0, 100, 100, 0], [50.0, 50, 50, 1]  # of tiny_model


def known(paths: dict, **options) -> MultimodalInferencer:
    """An inferencer of the scene whose label map is known."""
    return MultimodalInferencer(paths['config'], paths['checkpoint'], device='cpu', **options)


def write_tiny(folder: Path, model: ConfigDict | None = None) -> tuple[Path, Path]:
    """Write config and checkpoint of a toy MoBaNet."""
    torch.manual_seed(0)
    return write_trained(folder, (model or tiny_model()).to_dict())


def write_tiny_scene(folder: Path) -> dict:
    """Write a toy MoBaNet and 61 x 95 pixels; gives what its network gets of them, too."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 95)
    rgb = (rng.integers(0, 256, (61, 95, 3)) * ramp[::-1, None]).astype(np.uint8)
    heights = (rng.uniform(0, 1, (61, 95)) * ramp).astype(np.float32)
    place = {'crs': UTM, 'transform': ROTATED}
    write_raster(folder / 'rgb.tif', rgb, **place)
    write_raster(folder / 'aux.tif', heights, **place)
    stack = torch.from_numpy(np.dstack([rgb.astype(np.float32), heights])).permute(2, 0, 1)[None]
    mean, std = (torch.tensor(values).view(1, 4, 1, 1) for values in (MEAN, STD))
    inputs = (stack - mean) / std
    config, checkpoint = write_tiny(folder)
    centre(config, checkpoint, inputs)
    return {
        'model': (config, checkpoint),
        'pair': (folder / 'rgb.tif', folder / 'aux.tif'),
        'out': folder / 'out.tif',
        'inputs': inputs,
    }


def centre(config: Path, checkpoint: Path, inputs: Tensor) -> None:
    """Shift the logits until none of the classes is that of all pixels."""
    model = MultimodalInferencer(config, checkpoint, device='cpu').model
    with torch.no_grad():
        logits = model.encode_decode(inputs, [{}])
    content = torch.load(checkpoint, weights_only=True)
    content['state_dict']['decode_head.conv_seg.bias'] -= logits.mean(dim=(0, 2, 3))
    torch.save(content, checkpoint)
