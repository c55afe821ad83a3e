"""Loads trained segmentors, and reads rasters as their test dataset does."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.apis import init_model
from mmseg.models import EncoderDecoder

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.datasets.loading import LoadRasterAnnotations
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import build_parts
from mobanet_mmseg.modalities import AuxRange, StackSpec
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.sources import is_tile
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.weights.checkpoints import CheckpointError, check_fit, read_checkpoint
from mobanet_mmseg.weights.fingerprints import with_origin


def load_segmentor(
    config: str | Path | Config,
    checkpoint: str | Path,
    device: str = 'cpu',
    cfg_options: dict[str, Any] | None = None,
) -> EncoderDecoder:
    """Build a segmentor from its config and load its trained weights, all of them.

    Args:
        config: Config file, or the config itself.
        checkpoint: File that MMEngine's runner wrote.
        device: ``cpu``, ``cuda:0`` ..., or ``auto`` for this process's GPU if there is one.
        cfg_options: Settings that override the config.

    Returns:
        The model in eval mode, with ``cfg`` and the checkpoint's ``dataset_meta`` and
        ``temperature``.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the checkpoint is none of MMEngine's, or does not fit the config.
        ValueError: If the device is not there, or the model is no ``EncoderDecoder``.
    """
    device = find_device(device)
    if not isinstance(config, Config):
        config, cfg_options = read_config(config, cfg_options), None
    content = with_origin(read_checkpoint(checkpoint), checkpoint)
    meta = content.get('meta') or {}
    if 'state_dict' not in content or not meta.get('dataset_meta'):
        raise CheckpointError(
            f"{checkpoint} holds no state_dict with the classes' names in meta.dataset_meta, so it "
            'is no checkpoint of a trained segmentor: give a .pth file that the training wrote.'
        )
    model = init_model(config, None, device='cpu', cfg_options=cfg_options)
    if not isinstance(model, EncoderDecoder):
        raise ValueError(
            f'{type(model).__name__} is no EncoderDecoder, so its logits cannot be added up window '
            'by window: give the config of one (MoBaNet, TiledEncoderDecoder, EncoderDecoder ...).'
        )
    check_fit(checkpoint, content, model, 'give the config that it was trained with')
    model.load_state_dict(content['state_dict'])
    model.dataset_meta = meta['dataset_meta']
    model.temperature = _temperature(meta, checkpoint)
    return model.to(device)


def _temperature(meta: dict[str, Any], checkpoint: str | Path) -> float:
    """Read what divides the logits before they become probabilities; 1 if nothing is said."""
    value = meta.get('temperature', 1.0)
    if not isinstance(value, float | int) or not 0 < value < math.inf:
        raise CheckpointError(
            f'{checkpoint} has the temperature {value!r}, which is no number above 0: calibrate it '
            'anew with tools/analysis_tools/calibrate.py.'
        )
    return float(value)


def reading_spec(config: Config) -> StackSpec:
    """Say what the test dataset of a config reads, so that prediction does the same.

    Args:
        config: A config with ``test_dataloader.dataset``.

    Raises:
        ValueError: If the config has no test dataset, or one of another kind.
    """
    datasets = _test_datasets(config)
    img_bands, aux_bands, aux_range, aux_fill = (
        _agreed(config, key, [getattr(dataset, key) for dataset in datasets])
        for key in ('img_bands', 'aux_bands', 'aux_range', 'aux_fill')
    )
    img_sources, aux_sources = (
        _agreed(config, f'tiled_from.{key}', [_sources(dataset, key) for dataset in datasets])
        for key in ('img_bands', 'aux_bands')
    )
    return StackSpec(
        img_bands=tuple(img_bands),
        aux_bands=tuple(aux_bands),
        aux_range=AuxRange.parse(aux_range, optional=missing_aux(config) == 'zeros'),
        aux_fill=aux_fill,
        img_sources=img_sources,
        aux_sources=aux_sources,
    )


def _sources(dataset: MultimodalSegDataset, key: str) -> tuple[int, ...] | None:
    """Numbers of a dataset's bands in the rasters that its tiles were cut from."""
    told, bands = (dataset.tiled_from or {}).get(key), getattr(dataset, key)
    if told is None:
        return None
    if max(bands, default=0) > len(told):
        raise ValueError(
            f'{key}={bands} of the test dataset, but tiled_from knows {len(told)} bands: correct '
            'one of them, or leave tiled_from out.'
        )
    return tuple(told[band - 1] for band in bands)


def _label_lookup(dataset: MultimodalSegDataset, label_path: str | Path) -> dict:
    """Which class index a value or colour means, in a tile or in what tiles were cut from."""
    lookup = dataset.make_label_lookup()
    pairs = (dataset.tiled_from or {}).get('label_values')
    if pairs is None or is_tile(label_path):
        return lookup
    colours = {key: index for key, index in lookup.items() if isinstance(key, tuple)}
    return colours | {
        value if isinstance(value, int | float) else tuple(value): lookup.get(index, IGNORE_INDEX)
        for value, index in pairs
    }


def aux_kind(config: Config) -> str:
    """Say what the auxiliary raster of a config's test dataset holds, as pictures show it.

    Args:
        config: A config with ``test_dataloader.dataset``.
    """
    kinds = [dataset.metainfo['aux_kind'] for dataset in _test_datasets(config)]
    return _agreed(config, 'aux_kind', kinds)


def missing_aux(config: Config) -> str:
    """Say what the test dataset of a config makes of a raster without an auxiliary one.

    Args:
        config: A config with ``test_dataloader.dataset``.

    Returns:
        ``'error'``, or ``'zeros'``.
    """
    said = [dataset.missing_aux for dataset in _test_datasets(config)]
    return _agreed(config, 'missing_aux', said)


def open_truth(
    config: Config, img_path: str | Path, label_path: str | Path
) -> Callable[[Window | None], np.ndarray]:
    """Find out how the labels of an optical raster are read as the test dataset of a config does.

    Args:
        config: A config with ``test_dataloader.dataset``.
        img_path: Optical raster.
        label_path: Its labels, class indices (one band) or colours (three).

    Returns:
        Gives the class indices (h, w) uint8 of a window of the optical raster, or of all of it for
        None; 255 where there is no label.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the two do not fit, or the config has no such dataset.
    """
    count = read_info(label_path).count
    if count not in (1, 3):
        raise ValueError(
            f'{label_path} has {count} bands; a label raster has 1 (class indices) or 3 (colours): '
            'give the label of the image, or convert it.'
        )
    info = read_info(img_path)
    results = {
        'height': info.height,
        'width': info.width,
        'seg_map_path': str(label_path),
        'label_lookup': _agreed(
            config,
            'label_values',
            [_label_lookup(dataset, label_path) for dataset in _test_datasets(config)],
        ),
    }
    load = LoadRasterAnnotations()

    def read(window: Window | None) -> np.ndarray:
        return load.transform({**results, 'window': window, 'seg_fields': []})['gt_seg_map']

    return read


def _test_datasets(config: Config) -> list[MultimodalSegDataset]:
    """Build a config's test dataset, or those that it joins, without looking for its files."""
    dataset = config.get('test_dataloader', {}).get('dataset')
    built = []
    for part, each in build_parts(dataset or {'type': 'none'}, MultimodalSegDataset):
        if each is None:
            raise ValueError(
                f'The test_dataloader.dataset of {config.filename} is {part["type"]}, but only a '
                'MultimodalSegDataset says which bands the model was trained on: give the config '
                'that it was trained with.'
            )
        built.append(each)
    return built


def _agreed(config: Config, name: str, values: list[Any]) -> Any:
    """What all datasets of a test say."""
    if any(value != values[0] for value in values):
        raise ValueError(
            f'The datasets that the test_dataloader of {config.filename} joins do not agree on '
            f'{name}, so that it is not known how to read another raster: give a config whose '
            'test_dataloader has the one of them that reads as the raster has to be read.'
        )
    return values[0]


def find_device(device: str) -> torch.device:
    """Find a device by what a user calls it.

    Args:
        device: ``cpu``, ``cuda:0`` ..., or ``auto`` for this process's GPU if there is one.

    Raises:
        ValueError: If it is not there.
    """
    if device == 'auto':
        gpu = torch.cuda.is_available()
        return torch.device('cuda', torch.cuda.current_device()) if gpu else torch.device('cpu')
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"There is no device {device!r}: give 'cpu' or 'cuda:0'.") from error
    if wanted.type == 'cuda' and (wanted.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'Device {device} is not there: torch sees {torch.cuda.device_count()} CUDA GPUs; '
            'choose another one, or cpu.'
        )
    return wanted
