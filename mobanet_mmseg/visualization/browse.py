"""Draws samples as the network gets them: after the pipeline and the data preprocessor."""

import copy
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.model import BaseDataPreprocessor
from mmengine.runner import Runner, set_random_seed
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rich.progress import track
from torch import Tensor

from mobanet_mmseg.models.mcrm import MCRM
from mobanet_mmseg.visualization.colours import (
    UNLABELLED_COLOUR,
    Colour,
    colourise,
    hillshade,
    stretch,
)
from mobanet_mmseg.visualization.pictures import LEAST_PIXELS, compose_panels, save_picture

MASK_COLOUR = (230, 0, 200)
MASK_STRIPES = 12  # pixels from stripe to stripe
LABEL_WEIGHT = 0.45  # of the labels where they lie over the image
MOST_PIXELS = 1000  # longer side of a panel


class Sample(NamedTuple):
    """One sample as the network gets it, its normalisation undone.

    Args:
        name: Stem of its tile and the place of its window.
        rgb: Optical image (h, w, C).
        aux: Auxiliary image (h, w, C), scaled.
        labels: Class indices (h, w), None without labels.
        masked: (2, h, w), where MCRM masks the optical and the auxiliary image.
    """

    name: str
    rgb: np.ndarray
    aux: np.ndarray
    labels: np.ndarray | None
    masked: np.ndarray


def browse(config: Config, out_dir: str | Path, num: int = 20, split: str = 'train') -> list[Path]:
    """Draw samples of a split: both images, masks marked, the labels, and the labels over both.

    Args:
        config: With ``model.data_preprocessor`` and the split's data loader.
        out_dir: Folder of the pictures.
        num: How many samples.
        split: ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        The pictures; the same at each call where the config has ``randomness.seed``.

    Raises:
        FileNotFoundError: If data are missing.
        OSError: If a picture cannot be written.
        ValueError: If the config lacks one of these, or the data do not fit it.
    """
    written = []
    for index, (sample, meta) in enumerate(
        track(_samples(config, num, split), 'Drawing', total=num)
    ):
        path = Path(out_dir) / f'{index:03}_{sample.name}.png'
        save_picture(path, _draw(sample, meta['classes'], meta.get('palette')))
        written.append(path)
    return written


def _samples(config: Config, num: int, split: str) -> Iterator[tuple[Sample, dict[str, Any]]]:
    loader, settings = config.get(f'{split}_dataloader'), config.get('model', {})
    if loader is None or 'data_preprocessor' not in settings or num < 1:
        raise ValueError(
            f'{num} samples of {split}_dataloader are to be drawn by {config.filename}: give 1 or '
            f'more, and a config with {split}_dataloader and model.data_preprocessor.'
        )
    loader = copy.deepcopy(loader)
    loader.update(num_workers=0, persistent_workers=False)
    seed = config.get('randomness', {}).get('seed')
    if seed is not None:
        set_random_seed(seed)  # for the flips and masks; the windows follow from the loader's
    loader = Runner.build_dataloader(loader, seed=seed)
    bands = len(loader.dataset.img_bands), len(loader.dataset.aux_bands)
    preprocessor = MODELS.build(settings['data_preprocessor'])
    mask = _Mask(preprocessor)
    samples = (
        sample
        for batch in itertools.islice(loader, num)
        for sample in _undo(preprocessor, mask, batch, split == 'train', bands)
    )
    for sample in itertools.islice(samples, num):
        yield sample, loader.dataset.metainfo


class _Mask:
    """Remembers which values MCRM changes."""

    def __init__(self, preprocessor: BaseDataPreprocessor) -> None:
        self.changed: Tensor | None = None
        for module in preprocessor.modules():
            if isinstance(module, MCRM):
                module.register_forward_hook(self.remember)

    def remember(self, _: MCRM, given: tuple[Tensor], masked: Tensor) -> None:
        self.changed = given[0] != masked


def _undo(
    preprocessor: BaseDataPreprocessor,
    mask: _Mask,
    batch: dict,
    training: bool,
    bands: tuple[int, int],
) -> Iterator[Sample]:
    """Preprocess a batch and undo the normalisation."""
    data = preprocessor(batch, training)
    inputs, optical = data['inputs'], bands[0]
    if inputs.shape[1] != sum(bands):
        raise ValueError(
            f'A sample has {inputs.shape[1]} channels after the data_preprocessor, the dataset '
            f'reads {bands[0]} optical and {bands[1]} auxiliary bands: make them agree.'
        )
    stacks = (inputs * preprocessor.std + preprocessor.mean).numpy().transpose(0, 2, 3, 1)
    for index, (stack, sample) in enumerate(zip(stacks, data['data_samples'], strict=True)):
        masked = np.zeros((2, *stack.shape[:2]), bool)
        if mask.changed is not None:
            changed = mask.changed[index].numpy()
            for layer, channels in zip(masked, (changed[:optical], changed[optical:]), strict=True):
                _fill_box(layer, channels.any(axis=0))
        labels = sample.gt_sem_seg.data[0].numpy() if 'gt_sem_seg' in sample else None
        yield Sample(_name(sample), stack[..., :optical], stack[..., optical:], labels, masked)


def _fill_box(layer: np.ndarray, changed: np.ndarray) -> None:
    """Mark the rectangle of what changed: a masked value that was 0 before does not change."""
    if changed.any():
        rows, cols = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        layer[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True


def _name(sample: SegDataSample) -> str:
    window = sample.get('window')
    place = '' if window is None else f'_{window[0]}_{window[1]}'
    return f'{Path(sample.get("img_path") or "sample").stem}{place}'


def _draw(sample: Sample, classes: list[str], palette: list[Colour] | None) -> np.ndarray:
    """One picture of a sample."""
    shape, aux = sample.aux.shape[:2], sample.aux[..., 0].copy()
    aux[sample.masked[1]] = np.nan  # or the edge of the mask would be the steepest of all
    rgb, relief = stretch(sample.rgb), hillshade(aux)
    rgb, relief = _stripe(rgb, sample.masked[0]), _stripe(relief, sample.masked[1])
    panels = {'optical': rgb, 'aux (hillshade)': relief}
    legend: dict[str, Colour] = {}
    if sample.labels is not None and palette is not None:
        colours = colourise(sample.labels, palette)
        panels['labels'] = colours
        labelled = (sample.labels < len(palette))[..., None]
        panels |= {
            f'labels over {name}': np.where(labelled, _blend(image, colours), image)
            for name, image in (('optical', rgb), ('aux', relief))
        }
        legend = dict(zip(classes, palette, strict=True))
        legend['no class'] = UNLABELLED_COLOUR
    if sample.masked.any():
        legend['masked by MCRM'] = MASK_COLOUR
    scale = min(math.ceil(LEAST_PIXELS / max(shape)), MOST_PIXELS / max(shape))
    size = tuple(max(1, round(side * scale)) for side in shape[::-1])
    method = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
    panels = {name: cv2.resize(panel, size, interpolation=method) for name, panel in panels.items()}
    return compose_panels(panels, legend)


def _blend(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return cv2.addWeighted(image, 1 - LABEL_WEIGHT, colours, LABEL_WEIGHT, 0)


def _stripe(image: np.ndarray, masked: np.ndarray) -> np.ndarray:
    """Mark pixels by slanting stripes; between them the image stays."""
    rows, cols = np.indices(masked.shape)
    stripes = masked & ((rows + cols) % MASK_STRIPES < MASK_STRIPES // 4)
    return np.where(stripes[..., None], np.uint8(MASK_COLOUR), image)
