"""Cuts the rasters of one area into tiles, and splits these by area."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.conversion.labels import Labels
from mobanet_mmseg.conversion.report import Report
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.geotiff import TILE, Layer, write_geotiff
from mobanet_mmseg.rasters.sources import TILE_OF
from mobanet_mmseg.rasters.warping import float_type
from mobanet_mmseg.rasters.windows import read_with_validity
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.writing import write_text

FOLDERS = ('img', 'aux', 'label')
MIN_SIDE = 256  # pixels: the window that the configs train on


class Tile(NamedTuple):
    """One tile of a raster.

    Args:
        row: Row in the grid of tiles, from 0.
        col: Column in the grid of tiles, from 0.
        window: Its pixels.
    """

    row: int
    col: int
    window: Window

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.window.height * self.window.width


class Cutout(NamedTuple):
    """What was found in one tile that was written.

    Args:
        name: Stem of its files.
        pixels: Pixels of each class, then those without a label.
        no_optical: Pixels without optical data.
        no_aux: Pixels without auxiliary data.
        low: Least auxiliary value of each band, NaN where it has none.
        high: Greatest one.
    """

    name: str
    pixels: np.ndarray
    no_optical: int
    no_aux: int
    low: np.ndarray
    high: np.ndarray


@dataclass
class Cutter:
    """Writes the tiles of one area.

    Args:
        folder: Where the folders of the tiles are.
        grid: Header of the optical raster.
        aux: Header of the auxiliary raster.
        img_bands: Bands of the optical raster that are written.
        aux_bands: Bands of the auxiliary raster that are written.
        read_aux: Reads (h, w, number of bands) floating values of a window of the optical grid, NaN
            where there are none.
        labels: The labels, if there are any.
        classes: Their classes.
    """

    folder: Path
    grid: RasterInfo
    aux: RasterInfo
    img_bands: Sequence[int]
    aux_bands: Sequence[int]
    read_aux: Callable[[Window], np.ndarray]
    labels: Labels | None
    classes: Classes | None
    written: dict[Tile, Cutout] = field(default_factory=dict)
    dropped: Counter = field(default_factory=Counter)

    def write(self, tile: Tile) -> None:
        """Write one tile, or note why it is left out."""
        img, valid = read_with_validity(self.grid.path, self.img_bands, tile.window)
        if not valid.any():
            self.dropped['no optical data'] += 1
            return
        aux = self.read_aux(tile.window)
        known = np.isfinite(aux)
        if not known.any():
            self.dropped['no auxiliary data'] += 1
            return
        name = f'{Path(self.grid.path).stem}_r{tile.row:03}_c{tile.col:03}'
        pixels = np.zeros(1, np.int64)
        if self.labels is not None:
            label = self.labels.read(tile.window)
            label[~valid] = IGNORE_INDEX
            counts = np.bincount(label.ravel(), minlength=IGNORE_INDEX + 1)
            pixels = np.append(counts[: len(self.classes)], counts[IGNORE_INDEX])
            if not pixels[:-1].any():
                self.dropped['no label'] += 1
                return
            self._save('label', name, tile, label[..., None], IGNORE_INDEX, classes=self.classes)
        self._save_optical(name, tile, img, valid)
        values = np.where(known, aux, np.nan)
        low, high = np.fmin.reduce(values, (0, 1)), np.fmax.reduce(values, (0, 1))
        nodata = self._aux_nodata()
        self._save('aux', name, tile, np.where(known, aux, aux.dtype.type(nodata)), nodata)
        no_optical, no_aux = (int((~where).sum()) for where in (valid, known.all(axis=-1)))
        self.written[tile] = Cutout(name, pixels, no_optical, no_aux, low, high)

    def remove(self, tile: Tile, reason: str) -> None:
        """Take a tile away again."""
        name = self.written.pop(tile).name
        self.dropped[reason] += 1
        for folder in FOLDERS:
            (self.folder / folder / f'{name}.tif').unlink(missing_ok=True)

    def aux_range(self) -> Any:
        """Say how the auxiliary tiles are scaled: each by itself, if each has a range.

        Raises:
            ValueError: If not even all of them together have one.
        """
        low = np.array([cutout.low for cutout in self.written.values()])
        high = np.array([cutout.high for cutout in self.written.values()])
        if (low < high).all():
            return 'tile'
        least, greatest = np.fmin.reduce(low), np.fmax.reduce(high)
        if not (least < greatest).all():
            raise ValueError(
                f'{self.aux.path} has one value alone in a band (least {least.tolist()}, greatest '
                f'{greatest.tolist()} on the optical raster): leave the band out by --aux-bands, '
                'or give the right file.'
            )
        return tuple(map(float, least)), tuple(map(float, greatest))

    def _save_optical(self, name: str, tile: Tile, img: np.ndarray, valid: np.ndarray) -> None:
        """Write the optical tile, with a mask where the nodata value does not say what is valid."""
        nodata = self.grid.common_nodata(self.img_bands)
        if nodata is not None and np.issubdtype(img.dtype, np.floating):
            img[np.isnan(img)] = nodata
        empty = img[~valid]
        told = nodata is not None and ((empty == nodata) | (empty != empty)).all()
        self._save('img', name, tile, img, nodata, None if told or valid.all() else valid)

    def _aux_nodata(self) -> float:
        """The raster's nodata value; NaN where it has none, several, or none that fits."""
        nodata = None if self.aux.scales else self.aux.common_nodata(self.aux_bands)
        with np.errstate(over='ignore'):
            dtype = float_type(self.aux, self.aux_bands)
            exact = nodata is not None and float(dtype.type(nodata)) == nodata
        return nodata if exact else np.nan

    def _save(
        self,
        folder: str,
        name: str,
        tile: Tile,
        pixels: np.ndarray,
        nodata: float | None,
        mask: np.ndarray | None = None,
        classes: Classes | None = None,
    ) -> None:
        sources = {'img': self.img_bands, 'aux': self.aux_bands}.get(folder, (1,))
        layer = Layer(
            self.folder / folder / f'{name}.tif',
            bands=('',) * pixels.shape[-1],
            dtype=str(pixels.dtype),
            nodata=nodata,
            classes=classes,
            layout=TILE,
            tags={TILE_OF: ' '.join(map(str, sources))},
        )
        write_geotiff(layer, self.grid.crop(tile.window), np.moveaxis(pixels, -1, 0), mask)


def write_splits(folder: Path, splits: dict[str, list[Cutout]]) -> None:
    """Write a split file for each split.

    Args:
        folder: Where to write.
        splits: The tiles of each split.
    """
    for split, cutouts in splits.items():
        write_text(folder / f'{split}.txt', ''.join(f'{cutout.name}\n' for cutout in cutouts))


def report_of(
    out: Path,
    classes: Classes | None,
    splits: dict[str, list[Cutout]],
    dropped: Counter,
    aux_range: Any,
    **more: Any,
) -> Report:
    """Report what was cut.

    Args:
        out: Folder of the tiles.
        classes: The classes, if there are labels.
        splits: The tiles of each split.
        dropped: Number of tiles left out, by reason.
        aux_range: How the auxiliary tiles are scaled.
        **more: More of the report.
    """
    cutouts = [cutout for members in splits.values() for cutout in members]
    no_optical, no_aux = (sum(getattr(c, key) for c in cutouts) for key in ('no_optical', 'no_aux'))
    names = () if classes is None else classes.names
    notes = [
        f'pixels without optical data: {no_optical} (no label there)',
        f'pixels without auxiliary data: {no_aux}; aux_range={aux_range!r}',
    ]
    return Report(
        out,
        names,
        {split: [cutout.name for cutout in members] for split, members in splits.items()},
        {
            split: sum((c.pixels for c in members), np.zeros(len(names) + 1, np.int64))
            for split, members in splits.items()
        },
        dropped,
        **{**more, 'notes': [*notes, *more.get('notes', ())]},
    )


def cut(height: int, width: int, tile: int, minimum: int) -> list[Tile]:
    """Cut a raster into tiles that cover each pixel once.

    A rest at the right or lower edge is a tile of its own where it is at least ``minimum`` wide;
    a narrower one joins the tile before it.

    Args:
        height: Rows of the raster, pixels.
        width: Columns of the raster, pixels.
        tile: Side of a tile, pixels.
        minimum: Least side of a tile, pixels.

    Raises:
        ValueError: If ``minimum`` is not within 1 and ``tile``, or the raster is smaller than one
            tile.
    """
    if not 1 <= minimum <= tile:
        raise ValueError(
            f'Got tiles of {tile} pixels that are at least {minimum} at an edge: give a least side '
            'within 1 and the tile.'
        )
    if min(height, width) < tile:
        raise ValueError(
            f'A tile of {tile} x {tile} pixels is larger than the raster of {height} x {width}: '
            'give a smaller tile.'
        )
    return [
        Tile(i, j, Window(top, left, rows, cols))
        for i, (top, rows) in enumerate(_intervals(height, tile, minimum))
        for j, (left, cols) in enumerate(_intervals(width, tile, minimum))
    ]


def split_blocks(
    tiles: Sequence[Tile], block: int, test_share: float, seed: int
) -> tuple[list[Tile], list[Tile]]:
    """Split tiles into training and test ones, block by block.

    A block is ``block`` x ``block`` tiles of the grid, all on one side of the split, so that tiles
    that touch are apart only along the blocks' borders. In an order drawn by the seed, a block
    goes to the test where that brings its share of the pixels closer to ``test_share``.

    Args:
        tiles: The tiles.
        block: Side of a block, tiles.
        test_share: Fraction of the pixels that are for the test, within 0 and 1.
        seed: Seed of the order.

    Returns:
        The training and the test tiles, each in the order of ``tiles`` and never empty.

    Raises:
        ValueError: If an argument is out of its range, or there are fewer than two blocks.
    """
    if block < 1:
        raise ValueError(f'Got blocks of {block} tiles: give 1 or more.')
    if not 0 < test_share < 1:
        raise ValueError(
            f'A test share of {test_share} leaves the test or the training empty: give a fraction '
            'between 0 and 1.'
        )
    areas: dict[tuple[int, int], int] = {}
    for tile in tiles:
        key = _block_of(tile, block)
        areas[key] = areas.get(key, 0) + tile.area
    if len(areas) < 2:
        raise ValueError(
            f'The {len(tiles)} tiles make up {len(areas)} block(s) of {block} x {block}, which '
            'leaves the test split empty: give smaller tiles or smaller blocks.'
        )
    wanted = test_share * sum(areas.values())
    keys = list(areas)
    order = [keys[i] for i in np.random.default_rng(seed).permutation(len(keys))]
    chosen: set[tuple[int, int]] = set()
    area = 0
    for key in order[1:]:  # the first one trains, whatever the share
        if abs(area + areas[key] - wanted) < abs(area - wanted):
            chosen.add(key)
            area += areas[key]
    if not chosen:
        chosen = {min(order[1:], key=areas.__getitem__)}
    train = [tile for tile in tiles if _block_of(tile, block) not in chosen]
    return train, [tile for tile in tiles if _block_of(tile, block) in chosen]


def apart(train: Sequence[Tile], test: Sequence[Tile], gap: int) -> list[Tile]:
    """Keep the training tiles that have at least ``gap`` pixels between them and each test tile.

    Args:
        train: Training tiles.
        test: Test tiles.
        gap: Distance along the rows or the columns, pixels.
    """
    windows = np.array([tile.window for tile in test])
    start, end = windows[:, :2], windows[:, :2] + windows[:, 2:]
    kept = []
    for tile in train:
        own_start = np.array(tile.window[:2])
        own_end = own_start + tile.window[2:]
        between = np.maximum(start - own_end, own_start - end).max(axis=1)
        if between.min() >= gap:
            kept.append(tile)
    return kept


def _intervals(length: int, tile: int, minimum: int) -> list[tuple[int, int]]:
    """Starts and lengths of the tiles along one side."""
    starts = list(range(0, length, tile))
    if length - starts[-1] < minimum:
        starts.pop()
    ends = [*starts[1:], length]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def _block_of(tile: Tile, block: int) -> tuple[int, int]:
    return tile.row // block, tile.col // block
