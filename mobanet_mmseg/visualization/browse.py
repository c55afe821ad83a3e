"""Draws samples as the network gets them: after the pipeline and the data preprocessor."""

import copy
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.runner import Runner, set_random_seed
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.models.mcrm import MCRM
from mobanet_mmseg.visualization.colours import (
    Colour,
    colourise,
    draw_aux,
    stretch,
    unlabelled_colour,
    unlike,
)
from mobanet_mmseg.visualization.pictures import (
    check_folder,
    compose_panels,
    sample_name,
    save_picture,
)
from mobanet_mmseg.writing import Stems

MASK_COLOURS = ((230, 0, 200), (255, 128, 0), (0, 140, 255))  # the first that no class is like
MASK_STRIPES = 12  # pixels from stripe to stripe
LABEL_WEIGHT = 0.45  # of the labels where they lie over the image


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
        ValueError: If the config lacks one of these, the data do not fit it, or they lie in the
            folder.
    """
    written = []
    loader, preprocessor = _build(config, num, split)
    check_folder(out_dir, '.png', loader.dataset)
    classes = Classes.of(loader.dataset.metainfo)
    aux_kind = loader.dataset.metainfo.get('aux_kind', 'height')
    samples = itertools.islice(_samples(loader, preprocessor, split == 'train'), num)
    for index, sample in enumerate(track(samples, 'Drawing', total=num)):
        written.append(Path(out_dir) / f'{index:03}_{sample.name}.png')
        save_picture(written[-1], _draw(sample, classes, aux_kind))
    return written


def _build(config: Config, num: int, split: str) -> tuple[DataLoader, SegDataPreProcessor]:
    loader, settings = config.get(f'{split}_dataloader'), config.get('model', {})
    if loader is None or 'data_preprocessor' not in settings or num < 1:
        raise ValueError(
            f'{num} samples of {split}_dataloader are to be drawn by {config.filename}: give 1 or '
            f'more, and a config with {split}_dataloader and model.data_preprocessor.'
        )
    loader = {**copy.deepcopy(loader), 'num_workers': 0, 'persistent_workers': False}
    seed = config.get('randomness', {}).get('seed')
    if seed is not None:
        set_random_seed(seed)  # for the flips and masks; the windows follow from the loader's
    loader = Runner.build_dataloader(loader, seed=seed)
    return loader, MODELS.build(settings['data_preprocessor'])


class _Mask:
    """Remembers which values MCRM changes."""

    def __init__(self, preprocessor: SegDataPreProcessor) -> None:
        self.changed: Tensor | None = None
        for module in preprocessor.modules():
            if isinstance(module, MCRM):
                module.register_forward_hook(self.remember)

    def remember(self, _: MCRM, given: tuple[Tensor], masked: Tensor) -> None:
        self.changed = given[0] != masked


def _samples(
    loader: DataLoader, preprocessor: SegDataPreProcessor, training: bool
) -> Iterator[Sample]:
    """Preprocess batch after batch and undo the normalisation."""
    optical = len(loader.dataset.get_data_info(0)['img_bands'])
    mask, stems = _Mask(preprocessor), Stems()
    for batch in loader:
        data = preprocessor(batch, training)
        stacks = data['inputs'] * preprocessor.std + preprocessor.mean
        for index, sample in enumerate(data['data_samples']):
            stack = stacks[index].numpy().transpose(1, 2, 0)
            masked = np.zeros((2, *stack.shape[:2]), bool)
            if mask.changed is not None:
                changed = mask.changed[index].numpy()
                _fill_box(masked[0], changed[:optical].any(axis=0))
                _fill_box(masked[1], changed[optical:].any(axis=0))
            labels = sample.gt_sem_seg.data[0].numpy() if 'gt_sem_seg' in sample else None
            name = sample_name(sample, stems)
            yield Sample(name, stack[..., :optical], stack[..., optical:], labels, masked)


def _fill_box(layer: np.ndarray, changed: np.ndarray) -> None:
    """Mark the rectangle of what changed: a masked value that was 0 before does not change."""
    if changed.any():
        rows, cols = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
        layer[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] = True


def _draw(sample: Sample, classes: Classes, aux_kind: str) -> np.ndarray:
    """One picture of a sample."""
    mask_colour = unlike(classes.palette, *MASK_COLOURS)
    images = {'optical': _stripe(stretch(sample.rgb), sample.masked[0], mask_colour)}
    panels = dict(images)
    if sample.aux.shape[-1]:
        aux = sample.aux.copy()
        aux[sample.masked[1]] = np.nan  # or the edge of the mask would be the steepest of all
        title, image = draw_aux(aux, aux_kind)
        images['aux'] = panels[title] = _stripe(image, sample.masked[1], mask_colour)
    legend = {}
    if sample.labels is not None:
        colours = colourise(sample.labels, classes.palette)
        panels['labels'] = colours
        labelled = (sample.labels < len(classes))[..., None]
        panels |= {
            f'labels over {name}': np.where(labelled, _blend(image, colours), image)
            for name, image in images.items()
        }
        legend = dict(zip(classes.names, classes.palette, strict=True))
        legend['no class'] = unlabelled_colour(classes.palette)
    if sample.masked.any():
        legend['masked by MCRM'] = mask_colour
    return compose_panels(panels, legend)


def _blend(image: np.ndarray, colours: np.ndarray) -> np.ndarray:
    return cv2.addWeighted(image, 1 - LABEL_WEIGHT, colours, LABEL_WEIGHT, 0)


def _stripe(image: np.ndarray, masked: np.ndarray, colour: Colour) -> np.ndarray:
    """Mark pixels by slanting stripes; between them the image stays."""
    rows, cols = np.indices(masked.shape)
    stripes = masked & ((rows + cols) % MASK_STRIPES < MASK_STRIPES // 4)
    return np.where(stripes[..., None], np.uint8(colour), image)
