"""The tiles that are compared: matched, counted and drawn, one after the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.datasets.loading import read_classes
from mobanet_mmseg.datasets.wrappers import WindowIndex
from mobanet_mmseg.evaluation.segmentation_metric import confusion_matrix
from mobanet_mmseg.experiments.comparison import FILES, Comparison
from mobanet_mmseg.experiments.sides import Side, Tile
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.rasters.windows import chunks
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.visualization.colours import (
    Colour,
    colourise,
    draw_aux,
    stretch,
    unlabelled_colour,
)
from mobanet_mmseg.visualization.pictures import MOST_PIXELS, compose_panels, save_picture
from mobanet_mmseg.writing import check_outputs

PICTURES = 'tiles'  # folder of the pictures


@dataclass(frozen=True)
class Matched:
    """One tile that all sides have predicted.

    Args:
        name: As the first side names it.
        tiles: The tile as each side reads it, in the order of the sides.
    """

    name: str
    tiles: tuple[Tile, ...]

    @property
    def shown(self) -> Tile:
        """The tile of the first side that reads an auxiliary raster, or of the first one."""
        with_aux = (tile for tile in self.tiles if tile.info.get('aux_path') is not None)
        return next(with_aux, self.tiles[0])


def match_tiles(sides: Sequence[Side]) -> list[Matched]:
    """Find each tile in all sides, by the file of its truth.

    Args:
        sides: What is compared.

    Raises:
        OSError: If a raster is missing.
        ValueError: If the sides have other tiles or other classes.
    """
    found = [side.tiles() for side in sides]
    names = [tuple(next(iter(each.values())).dataset.metainfo['classes']) for each in found]
    for side, tiles, classes in zip(sides, found, names, strict=True):
        if tiles.keys() != found[0].keys():
            other = sorted(path.name for path in tiles.keys() ^ found[0].keys())
            raise ValueError(
                f'{sides[0].name} and {side.name} have other test tiles ({len(other)} are not in '
                f'both, such as {other[0]}): compare runs of one split.'
            )
        if classes != names[0]:
            raise ValueError(
                f'{sides[0].name} has the classes {", ".join(names[0])} and {side.name} '
                f'{", ".join(classes)}: compare runs with the same classes.'
            )
    return [
        Matched(tile.name, tuple(each[truth] for each in found)) for truth, tile in found[0].items()
    ]


def check_places(sides: Sequence[Side], matched: Sequence[Matched], out: Path) -> None:
    """Refuse a folder in which something that is read would be written over.

    Args:
        sides: What is compared.
        matched: Their tiles.
        out: Folder of all that is written.

    Raises:
        ValueError: If a file would be.
    """
    written = [*(out / name for name in FILES), *(_picture(out, tile) for tile in matched)]
    read = [path for side in sides for path in side.files]
    for tile in matched:
        for side, own in zip(sides, tile.tiles, strict=True):
            (written if side.checkpoint is not None else read).append(own.label_map)
            read += files_behind(*own.rasters)
    check_outputs(written, read)


def compare(sides: Sequence[Side], matched: Sequence[Matched], out: Path) -> Comparison:
    """Count the pixels of each tile, and draw it: both images, truth, and each prediction.

    A tile is read in windows; what is held of it is what the picture shows.

    Args:
        sides: What is compared; their label maps are there.
        matched: Their tiles.
        out: Folder of the pictures.

    Raises:
        OSError: If a label map is missing, or a picture cannot be written.
        ValueError: If a label map does not fit its tile, or no pixel has a label.
    """
    classes = Classes.of(matched[0].tiles[0].dataset.metainfo)
    names = [side.name for side in sides]
    matrices, left_out = [], 0
    for tile in track(matched, 'Comparing'):
        counted, without, layers = _read_tile(tile, len(classes))
        matrices.append(counted)
        left_out += without
        panels = _panels(tile, names, layers, classes)
        save_picture(_picture(out, tile), compose_panels(panels, _legend(layers, classes)))
    every = np.stack(matrices, axis=1)
    if not every.any():
        raise ValueError('No pixel of the tiles has a label and a class in each of the runs.')
    excluded = sides[0].excluded_classes
    return Comparison(names, classes, excluded, [tile.name for tile in matched], every, left_out)


def _picture(out: Path, tile: Matched) -> Path:
    return out / PICTURES / f'{tile.name}.png'


def _read_tile(tile: Matched, count: int) -> tuple[np.ndarray, int, dict[str, np.ndarray]]:
    """Count a tile, window by window, and reduce it for its picture.

    Returns:
        (sides, K, K) pixel counts; the labelled pixels that a side has no class for; ``image``
        (h, w, C), ``truth`` (h, w) and ``predictions`` (sides, h, w), reduced.
    """
    shown, info = tile.shown, read_info(tile.shown.info['img_path'])
    for other in tile.tiles:
        _check_map(other)
    step = max(1, -(-max(info.height, info.width) // MOST_PIXELS))
    matrices, left_out = np.zeros((len(tile.tiles), count, count), np.int64), 0
    rows: list[tuple[np.ndarray, ...]] = []
    for window in chunks(info, step):
        sample = shown.dataset.prepare_data(WindowIndex(shown.index, *window))
        truth = sample['gt_seg_map']
        predictions = np.stack([_read_map(each, window, count) for each in tile.tiles])
        rows.append((_averaged(sample['img'], step), truth, predictions))
        rows[-1] = (rows[-1][0], *(_every(each, step) for each in rows[-1][1:]))
        known = (predictions < count).all(axis=0)
        left_out += int(((truth != IGNORE_INDEX) & ~known).sum())
        counted = torch.from_numpy(np.where(known, truth, IGNORE_INDEX))
        for matrix, labels in zip(matrices, predictions, strict=True):
            matrix += confusion_matrix(
                torch.from_numpy(labels), counted, count, IGNORE_INDEX, tile.name
            ).numpy()
    image, truth, predictions = (
        np.concatenate(parts, axis=axis)
        for parts, axis in zip(zip(*rows, strict=True), (0, 0, 1), strict=True)
    )
    return matrices, left_out, {'image': image, 'truth': truth, 'predictions': predictions}


def _check_map(tile: Tile) -> None:
    """Refuse a label map that is missing, or of another size than its tile."""
    found = read_info(tile.label_map)
    size = tile.info['height'], tile.info['width']
    if (found.height, found.width) != size or found.count not in (1, 3):
        raise ValueError(
            f'{tile.label_map} has {found.height} x {found.width} pixels and {found.count} bands, '
            f'but its tile {size[0]} x {size[1]}: give label maps (1 band of class indices, or 3 '
            'of colours) of whole tiles.'
        )


def _read_map(tile: Tile, window: Window, count: int) -> np.ndarray:
    """Class indices (h, w) of a label map, K or more where it has no class."""
    palette = tile.dataset.metainfo['palette']
    lookup: dict[int | tuple[int, ...], int] = {index: index for index in range(count)}
    lookup |= {tuple(colour): index for index, colour in enumerate(palette)}
    size = tile.info['height'], tile.info['width']
    return read_classes(str(tile.label_map), lookup, window, size)[0]


def _averaged(image: np.ndarray, step: int) -> np.ndarray:
    """Reduce an (H, W, C) image by averaging its blocks; one of another size at the end goes."""
    height, width = (side // step for side in image.shape[:2])
    blocks = image[: height * step, : width * step].reshape(height, step, width, step, -1)
    return blocks.mean(axis=(1, 3))


def _every(labels: np.ndarray, step: int) -> np.ndarray:
    """Reduce (..., H, W) labels to those in the middle of the blocks of :func:`_averaged`."""
    height, width = (side // step for side in labels.shape[-2:])
    middle = slice(step // 2, None, step)
    return labels[..., middle, middle][..., :height, :width]


def _panels(
    tile: Matched, names: Sequence[str], layers: dict[str, np.ndarray], classes: Classes
) -> dict[str, np.ndarray]:
    """The panels of a tile's picture, by title."""
    dataset = tile.shown.dataset
    optical, aux = np.split(layers['image'], [len(dataset.img_bands)], axis=-1)
    panels = {'optical': stretch(optical)}
    if aux.shape[-1]:
        title, panels['aux'] = draw_aux(aux, dataset.metainfo['aux_kind'])
        panels[title] = panels.pop('aux')
    truth = layers['truth']
    panels['truth'] = colourise(truth, classes.palette)
    labelled = truth < len(classes)
    for name, labels in zip(names, layers['predictions'], strict=True):
        share = (labels != truth)[labelled].mean() if labelled.any() else np.nan
        panels[f'{name} ({100 * share:.1f} % wrong)'] = colourise(labels, classes.palette)
    return panels


def _legend(layers: dict[str, np.ndarray], classes: Classes) -> dict[str, Colour]:
    legend = dict(zip(classes.names, classes.palette, strict=True))
    if max(layers['truth'].max(), layers['predictions'].max()) >= len(classes):
        legend['no class'] = unlabelled_colour(classes.palette)
    return legend
