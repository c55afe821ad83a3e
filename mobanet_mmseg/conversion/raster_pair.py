"""Converts an optical raster, an auxiliary one and labels, on any grids, into tiles on one grid."""

import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rich.progress import track

from mobanet_mmseg.conversion.dataset_file import dataset_file
from mobanet_mmseg.conversion.raster_labels import RasterLabels, open_raster_labels
from mobanet_mmseg.conversion.splitting import Tile, apart, cut, split_blocks
from mobanet_mmseg.conversion.tiles import (
    FOLDERS,
    Cutter,
    RasterPair,
    bands_of,
)
from mobanet_mmseg.conversion.vector_labels import SUFFIXES, VectorLabels
from mobanet_mmseg.rasters.warping import (
    bounds_of,
    check_crs,
    check_no_alpha,
    check_overlap,
    read_warped,
    warped_values,
)
from mobanet_mmseg.rasters.windows import RasterInfo, check_bands, read_info
from mobanet_mmseg.writing import check_folder, whole_folder, write_text

WRITTEN = {*FOLDERS, 'train.txt', 'test.txt', 'dataset.py'}
MIN_SIDE = 256  # pixels: the window that the configs train on


@dataclass(frozen=True)
class Cutting:
    """How an area becomes tiles of a training and a test split.

    Args:
        tile: Side of a tile, pixels.
        min_side: Least side of a tile at the edge; a narrower rest joins the tile before it.
        test_share: Fraction of the pixels that are for the test.
        block: Side of the blocks that are split, tiles.
        gap: Pixels between a training and a test tile; nearer training tiles are left out.
        seed: Seed of the split.
        resampling: How the auxiliary raster is warped, by rasterio's name.
    """

    tile: int = 1024
    min_side: int = MIN_SIDE
    test_share: float = 0.2
    block: int = 2
    gap: int = 0
    seed: int = 0
    resampling: str = 'bilinear'


@dataclass
class Report:
    """What a conversion did.

    Args:
        out: Folder of the tiles.
        classes: Name of each class.
        splits: Names of the tiles of each split.
        dropped: Number of tiles left out, by reason.
        pixels: Pixels of each class, then those without a label, per split.
        no_optical: Pixels without optical data in the tiles.
        no_aux: Pixels without auxiliary data in the tiles.
        aux_range: What ``aux_range`` became, as source text.
        notes: More sentences.
        advice: What to do where a split lacks a class.
    """

    out: Path
    classes: tuple[str, ...]
    splits: dict[str, list[str]]
    dropped: Counter
    pixels: dict[str, np.ndarray]
    no_optical: int
    no_aux: int
    aux_range: str
    notes: Sequence[str] = ()
    advice: str = 'try another --seed, or a smaller --block'

    def __str__(self) -> str:
        """Say it in lines for a terminal."""
        counts = ', '.join(f'{len(names)} {split}' for split, names in self.splits.items())
        lines = [f'{self.out}: tiles: {counts}']
        lines += [f'  left out, {reason}: {count} tiles' for reason, count in self.dropped.items()]
        lines.append(f'  pixels without optical data: {self.no_optical} (no label there)')
        lines.append(f'  pixels without auxiliary data: {self.no_aux}; aux_range={self.aux_range}')
        if self.classes:
            lines.append(f'  {"pixels":<24}' + ''.join(f'{split:>16}' for split in self.pixels))
            for index, name in enumerate([*self.classes, 'no label']):
                row = ''.join(f'{counts[index]:>16}' for counts in self.pixels.values())
                lines.append(f'  {name:<24}{row}')
            for split, counts in self.pixels.items():
                absent = [self.classes[i] for i in np.flatnonzero(counts[:-1] == 0)]
                if absent:
                    missing = ', '.join(absent)
                    lines.append(f'  WARNING: {split} has no pixel of {missing}: {self.advice}')
        lines += [f'  {note}' for note in self.notes]
        return '\n'.join(lines)


def convert(
    pair: RasterPair, out: str | Path, cutting: Cutting, *, overwrite: bool = False
) -> Report:
    """Convert the rasters of one area into tiles, a split and a ``dataset.py`` to train by.

    Writes ``img/``, ``aux/`` and ``label/`` with a GeoTIFF of the same name for each tile,
    ``train.txt``, ``test.txt`` and ``dataset.py``, in a folder beside ``out`` that takes its
    name once all is there. The same input and seed give the same tiles and split.

    Args:
        pair: The files.
        out: Folder to write.
        cutting: How they become tiles.
        overwrite: Whether an earlier conversion in ``out`` is replaced.

    Raises:
        FileNotFoundError: If a file is missing.
        OSError: If ``out`` cannot be written.
        ValueError: If the files do not fit together, or an argument does not fit.
    """
    out = Path(out).resolve()
    if cutting.resampling not in Resampling.__members__:
        raise ValueError(
            f'Got resampling={cutting.resampling!r}: give one of {list(Resampling.__members__)}.'
        )
    _check_out(out, pair, overwrite)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)  # refused in a sentence
        grid, aux = _check_rasters(pair)
        tiles = cut(grid.height, grid.width, cutting.tile, min(cutting.min_side, cutting.tile))
        if pair.label is not None:  # an impossible split is refused before the work
            split_blocks(tiles, cutting.block, cutting.test_share, cutting.seed)
        with (
            warped_values(aux, grid, Resampling[cutting.resampling]) as vrt,
            _open_labels(pair, grid) as labels,
            whole_folder(out) as folder,
        ):
            if labels is not None:
                windows = [tile.window for tile in tiles]
                labels.refuse_unknown(track(windows, 'Values of the labels'))
            cutter = Cutter(folder, pair, grid, aux, partial(read_warped, vrt), labels)
            for tile in track(tiles, 'Cutting the tiles'):
                cutter.write(tile)
            report = _finish(cutter, out, cutting)
    return report


def _check_out(out: Path, pair: RasterPair, overwrite: bool) -> None:
    paths = [path for path in (pair.rgb, pair.aux, pair.label) if path is not None]
    for path in paths:
        if not Path(path).exists():
            raise FileNotFoundError(
                f'{path} does not exist: check the path, or put the file there.'
            )
        if out in Path(path).resolve().parents:
            raise ValueError(f'{path} lies in {out}, which is written: give another folder.')
    for first, second in combinations(paths, 2):
        if Path(first).samefile(second):
            raise ValueError(f'{first} is given twice: give one file for each of the rasters.')
    check_folder(out, WRITTEN, 'dataset.py', overwrite)


def _check_rasters(pair: RasterPair) -> tuple[RasterInfo, RasterInfo]:
    grid, aux = read_info(pair.rgb), read_info(pair.aux)
    for info, bands in ((grid, pair.rgb_bands), (aux, pair.aux_bands)):
        check_bands(info, bands_of(info, bands))
        if info.transform.is_identity:
            raise ValueError(
                f'{info.path} has no georeference: write it into the file (gdal_edit -a_ullr '
                '-a_srs), or, if the rasters lie on one grid, train on them as they are with '
                'MultimodalSegDataset.'
            )
    check_crs(aux.path, aux.crs, grid)
    check_overlap(aux.path, aux.crs, bounds_of(aux), grid)
    check_no_alpha(aux, bands_of(aux, pair.aux_bands))
    return grid, aux


def _open_labels(
    pair: RasterPair, grid: RasterInfo
) -> AbstractContextManager[RasterLabels | VectorLabels | None]:
    if pair.label is None:
        return nullcontext()
    vector = Path(pair.label).suffix.lower() in SUFFIXES
    if pair.legend is None or vector != (pair.legend.kind == 'attribute'):
        how = (
            '--attribute FIELD with --classes NAME=VALUE'
            if vector
            else '--classes NAME=VALUE or --colors NAME=R,G,B, without --attribute'
        )
        kind = 'a vector file' if vector else 'a raster'
        raise ValueError(f'{pair.label} is {kind}: say what its labels mean by {how}.')
    if vector:
        return nullcontext(VectorLabels(pair.label, pair.attribute, pair.legend, grid))
    return open_raster_labels(pair.label, pair.legend, grid)


def _finish(cutter: Cutter, out: Path, cutting: Cutting) -> Report:
    """Split the tiles that were written, and write the split and ``dataset.py``."""
    tiles = list(cutter.written)
    if not tiles:
        raise ValueError(f'No tile of {cutter.grid.path} is left: {dict(cutter.dropped)}.')
    splits: dict[str, list[Tile]] = {'test': tiles}
    if cutter.labels is not None:
        train, test = split_blocks(tiles, cutting.block, cutting.test_share, cutting.seed)
        kept = apart(train, test, cutting.gap)
        if not kept:
            raise ValueError(
                f'A gap of {cutting.gap} pixels leaves no training tile: give a smaller gap.'
            )
        for tile in {*train} - {*kept}:
            cutter.remove(tile, 'nearer to a test tile than the gap')
        splits = {'train': kept, 'test': test}
    written, aux_range = cutter.written, cutter.aux_range()
    names = {split: [written[tile].name for tile in members] for split, members in splits.items()}
    for split, members in names.items():
        write_text(cutter.folder / f'{split}.txt', ''.join(f'{name}\n' for name in members))
    side = min(min(tile.window[2:]) for tile in splits.get('train', tiles))
    img_bands = range(1, min(3, len(cutter.rgb_bands)) + 1)
    text = dataset_file(
        f'{Path(cutter.pair.rgb).name} + {Path(cutter.pair.aux).name}, cut into tiles.',
        cutter.classes,
        cutter.pair.legend.palette if cutter.classes else (),
        img_bands,
        range(1, len(cutter.aux_bands) + 1),
        aux_range,
        min(MIN_SIDE, side),
    )
    write_text(cutter.folder / 'dataset.py', text)
    return Report(
        out,
        cutter.classes,
        names,
        cutter.dropped,
        {split: sum(written[tile].pixels for tile in members) for split, members in splits.items()},
        sum(cutout.no_optical for cutout in written.values()),
        sum(cutout.no_aux for cutout in written.values()),
        aux_range,
    )
