"""Predicts rasters with a trained model: reading, network and writing put together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.apis import init_model
from mmseg.models import BaseSegmentor
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample

from mobanet_mmseg.datasets.loading import LoadRasterAnnotations
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.rasters import AuxRange, check_sizes, read_info, read_stack, read_window
from mobanet_mmseg.datasets.statistics import Percentiles, aux_ranges
from mobanet_mmseg.inference.geotiff import open_label_map
from mobanet_mmseg.models.checkpoints import CheckpointError, check_fit, read_checkpoint

NODATA = 255
ROWS_AT_ONCE = 512  # rows of the optical image that are searched for nodata at a time


def load_segmentor(
    config: str | Path | Config,
    checkpoint: str | Path,
    device: str = 'cpu',
    cfg_options: dict[str, Any] | None = None,
) -> BaseSegmentor:
    """Build a segmentor from its config and load its trained weights, all of them.

    Args:
        config: Config file, or the config itself.
        checkpoint: File that MMEngine's runner wrote.
        device: Where the model runs: ``cpu``, ``cuda:0`` ...
        cfg_options: Settings that override the config.

    Returns:
        The model in eval mode, with ``cfg`` and the checkpoint's ``dataset_meta``.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the checkpoint is none of MMEngine's, or does not fit the config.
        ValueError: If the device is not there.
    """
    _check_device(device)
    content = read_checkpoint(checkpoint)
    meta = content.get('meta') or {}
    if 'state_dict' not in content or not meta.get('dataset_meta'):
        raise CheckpointError(
            f"{checkpoint} holds no state_dict with the classes' names in meta.dataset_meta, so it "
            'is no checkpoint of a trained segmentor: give a .pth file that the training wrote.'
        )
    model = init_model(config, None, device='cpu', cfg_options=cfg_options)
    check_fit(checkpoint, content, model, 'give the config that it was trained with')
    model.load_state_dict(content['state_dict'])
    model.dataset_meta = meta['dataset_meta']
    return model.to(device)


def reading_options(config: Config) -> dict[str, Any]:
    """Say how the test dataset of a config reads its rasters, so that prediction does the same.

    Args:
        config: A config with ``test_dataloader.dataset``.

    Returns:
        ``img_bands``, ``aux_bands`` and ``aux_range``.

    Raises:
        ValueError: If the config has no test dataset, or one of another kind.
    """
    dataset = _test_dataset(config)
    return {key: getattr(dataset, key) for key in ('img_bands', 'aux_bands', 'aux_range')}


def read_truth(config: Config, img_path: str | Path, label_path: str | Path) -> np.ndarray:
    """Read the labels of an optical raster as the test dataset of a config does.

    Args:
        config: A config with ``test_dataloader.dataset``.
        img_path: Optical raster.
        label_path: Its labels, class indices (one band) or colours (three).

    Returns:
        Class indices (H, W) uint8, 255 where there is no label.

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
    results = {
        'img_path': str(img_path),
        'seg_map_path': str(label_path),
        'label_lookup': _test_dataset(config).make_label_lookup(),
        'seg_fields': [],
    }
    return LoadRasterAnnotations().transform(results)['gt_seg_map']


def predict_file(
    model: BaseSegmentor,
    img_path: str | Path,
    aux_path: str | Path,
    out_path: str | Path,
    *,
    img_bands: Sequence[int],
    aux_bands: Sequence[int],
    aux_range: str | Percentiles | AuxRange | None,
) -> np.ndarray:
    """Predict a pair of rasters into an indexed GeoTIFF on the optical raster's grid.

    Args:
        model: From :func:`load_segmentor`.
        img_path: Optical raster.
        aux_path: Auxiliary raster on the same grid.
        out_path: Where to write; tried before anything is predicted.
        img_bands: Bands of the optical raster, counted from 1.
        aux_bands: Bands of the auxiliary raster, counted from 1.
        aux_range: ``'tile'``, ``('percentile', 1, 99)``, ``(low, high)`` in the auxiliary
            raster's unit, or None.

    Returns:
        The labels that were written, (H, W) uint8.

    Raises:
        FileNotFoundError: If a raster is missing.
        OSError: If the file cannot be written.
        ValueError: If the rasters do not fit each other or the model.
    """
    for path in (img_path, aux_path):
        if Path(path).resolve() == Path(out_path).resolve():
            raise ValueError(f'{out_path} is an input and would be overwritten: give another name.')
    info = read_info(img_path)
    with open_label_map(
        out_path,
        (info.height, info.width),
        crs=info.crs,
        transform=info.transform,
        classes=model.dataset_meta['classes'],
        palette=model.dataset_meta['palette'],
        nodata=NODATA,
    ) as label_map:
        bands = {'img_bands': img_bands, 'aux_bands': aux_bands}
        labels = predict_raster(model, img_path, aux_path, **bands, aux_range=aux_range)
        label_map.write(labels, 1)
    return labels


def predict_raster(
    model: BaseSegmentor,
    img_path: str | Path,
    aux_path: str | Path,
    *,
    img_bands: Sequence[int],
    aux_bands: Sequence[int],
    aux_range: str | Percentiles | AuxRange | None,
) -> np.ndarray:
    """Predict a pair of rasters, which is read whole.

    Args:
        model: A segmentor for stacked samples, in eval mode.
        img_path: Optical raster.
        aux_path: Auxiliary raster on the same grid.
        img_bands: Bands of the optical raster, counted from 1.
        aux_bands: Bands of the auxiliary raster, counted from 1.
        aux_range: ``'tile'``, ``('percentile', 1, 99)``, ``(low, high)`` in the auxiliary
            raster's unit, or None.

    Returns:
        Class indices (H, W) uint8; 255 where no optical band holds data.

    Raises:
        FileNotFoundError: If a raster is missing.
        ValueError: If the rasters do not fit each other or the model.
    """
    check_sizes(read_info(aux_path), read_info(img_path))  # first: ranges are kept beside the data
    (scaling,) = aux_ranges([str(aux_path)], aux_bands, aux_range, keep=False)
    stack = read_stack(
        img_path, aux_path, img_bands=img_bands, aux_bands=aux_bands, aux_range=scaling
    )
    labels = predict_stack(model, stack)
    labels[~find_valid(img_path, img_bands)] = NODATA
    return labels


def predict_stack(model: BaseSegmentor, stack: np.ndarray) -> np.ndarray:
    """Predict one stacked sample as the model's ``test_cfg`` says, in windows or whole.

    Args:
        model: A segmentor for stacked samples, in eval mode.
        stack: (H, W, C) float32, optical first, not normalised.

    Returns:
        Class indices (H, W) uint8.
    """
    inputs = torch.from_numpy(np.ascontiguousarray(stack.transpose(2, 0, 1)))
    shape = stack.shape[:2]
    sample = SegDataSample(metainfo={'ori_shape': shape, 'img_shape': shape, 'pad_shape': shape})
    with torch.no_grad():
        (result,) = model.test_step({'inputs': [inputs], 'data_samples': [sample]})
    return result.pred_sem_seg.data[0].to(torch.uint8).cpu().numpy()


def find_valid(img_path: str | Path, bands: Sequence[int]) -> np.ndarray:
    """Find the pixels of an optical raster at which at least one band holds data.

    Args:
        img_path: Raster; nodata values, masks, NaN and infinities are no data.
        bands: Numbers of the bands, counted from 1.

    Returns:
        (H, W) bool.
    """
    info = read_info(img_path)
    valid = np.empty((info.height, info.width), bool)
    for row in range(0, info.height, ROWS_AT_ONCE):
        window = (row, 0, min(ROWS_AT_ONCE, info.height - row), info.width)
        values = read_window(img_path, bands, window, nodata_to_nan=True)
        valid[row : row + ROWS_AT_ONCE] = np.isfinite(values).any(axis=-1)
    return valid


def _test_dataset(config: Config) -> MultimodalSegDataset:
    """Build a config's test dataset without looking for its files."""
    dataset = config.get('test_dataloader', {}).get('dataset')
    dataset_class = None if dataset is None else DATASETS.get(dataset['type'])
    if dataset_class is None or not issubclass(dataset_class, MultimodalSegDataset):
        found = 'none' if dataset is None else dataset['type']
        raise ValueError(
            f'The test_dataloader.dataset of {config.filename} is {found}, but only a '
            'MultimodalSegDataset says which bands the model was trained on: give the config that '
            'it was trained with.'
        )
    return DATASETS.build({**dataset, 'pipeline': [], 'lazy_init': True})


def _check_device(device: str) -> None:
    try:
        wanted = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"There is no device {device!r}: give 'cpu' or 'cuda:0'.") from error
    if wanted.type == 'cuda' and (wanted.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f'Device {device} is not there: torch sees {torch.cuda.device_count()} CUDA GPUs; '
            'choose another one, or cpu.'
        )
