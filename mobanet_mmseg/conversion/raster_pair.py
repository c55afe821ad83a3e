"""Converts an optical raster, an auxiliary one and labels, on any grids, into tiles on one grid."""

import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rich.progress import track

from mobanet_mmseg.conversion.cutting import (
    MIN_SIDE,
    Cutter,
    Tile,
    apart,
    cut,
    report_of,
    split_blocks,
    write_splits,
)
from mobanet_mmseg.conversion.dataset_file import dataset_file
from mobanet_mmseg.conversion.labels import LabelCodes, RasterLabels
from mobanet_mmseg.conversion.polygons import PolygonLabels
from mobanet_mmseg.conversion.report import Report
from mobanet_mmseg.folders import whole_folder
from mobanet_mmseg.rasters.files import RasterInfo, read_info
from mobanet_mmseg.rasters.grids import why_unplaced
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.rasters.warping import warped_values
from mobanet_mmseg.rasters.windows import check_bands
from mobanet_mmseg.vectors.files import is_vector
from mobanet_mmseg.writing import check_outputs, write_text

TOOL = 'raster_pair.py'


@dataclass(frozen=True)
class RasterPair:
    """The files of one area.

    Args:
        rgb: Optical raster; the grid of all that is written.
        aux: Auxiliary raster, on any grid.
        label: Raster or polygons, on any grid; None for tiles without labels.
        codes: Which class a label means.
        attribute: Attribute of the polygons that tells the class; None where all are one class.
        rgb_bands: Bands of the optical raster that are written; None is all but alpha, which
            says what is valid.
        aux_bands: Bands of the auxiliary raster, likewise.
    """

    rgb: str
    aux: str
    label: str | None = None
    codes: LabelCodes | None = None
    attribute: str | None = None
    rgb_bands: Sequence[int] | None = None
    aux_bands: Sequence[int] | None = None


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
    _check_places(out, pair)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)  # refused in a sentence
        grid, aux = read_info(pair.rgb), read_info(pair.aux)
        img_bands, aux_bands = _bands(grid, pair.rgb_bands), _bands(aux, pair.aux_bands)
        _check_placed(grid, aux)
        tiles = cut(grid.height, grid.width, cutting.tile, min(cutting.min_side, cutting.tile))
        if pair.label is not None:  # an impossible split is refused before the work
            split_blocks(tiles, cutting.block, cutting.test_share, cutting.seed)
        with (
            warped_values(aux, grid, aux_bands, Resampling[cutting.resampling]) as warped,
            _open_labels(pair, grid) as labels,
            whole_folder(out, TOOL, overwrite=overwrite) as folder,
        ):
            classes = None
            if labels is not None:
                labels.refuse_unknown([tile.window for tile in tiles])
                classes = pair.codes.classes
                if classes is None:
                    raise ValueError(f'{pair.label} has no class: give --classes NAME=VALUE.')
            cutter = Cutter(folder, grid, aux, img_bands, aux_bands, warped.read, labels, classes)
            for tile in track(tiles, 'Cutting the tiles'):
                cutter.write(tile)
            return _finish(cutter, out, cutting, pair.codes)


def _check_places(out: Path, pair: RasterPair) -> None:
    paths = [path for path in (pair.rgb, pair.aux, pair.label) if path is not None]
    check_outputs([out], files_behind(*paths))
    bands = {*(pair.rgb_bands or ())}, {*(pair.aux_bands or ())}
    for first, second in combinations(paths, 2):
        if (first, second) == (pair.rgb, pair.aux) and all(bands) and bands[0].isdisjoint(bands[1]):
            continue  # bands of one file
        if Path(first).exists() and Path(second).exists() and Path(first).samefile(second):
            raise ValueError(
                f'{first} is given twice: give one file for each of the rasters, or, of one that '
                'holds both, --rgb-bands and --aux-bands.'
            )


def _bands(info: RasterInfo, asked: Sequence[int] | None) -> tuple[int, ...]:
    """The bands of a raster that are written: those that are asked for, or all but alpha."""
    bands = info.data_bands if asked is None else tuple(asked)
    check_bands(info, bands)
    return bands


def _check_placed(*infos: RasterInfo) -> None:
    for info in infos:
        if unplaced := why_unplaced(info):
            raise ValueError(
                f'{info.path} {": ".join(unplaced)}, or, if the rasters lie on one grid, train on '
                'them as they are with MultimodalSegDataset.'
            )


def _open_labels(
    pair: RasterPair, grid: RasterInfo
) -> AbstractContextManager[RasterLabels | PolygonLabels | None]:
    if pair.label is None:
        return nullcontext()
    vector = is_vector(pair.label)
    if pair.codes is None or vector != (pair.codes.kind == 'attribute'):
        how = (
            '--attribute FIELD with --classes NAME=VALUE, or by --burn NAME'
            if vector
            else '--classes NAME=VALUE or --colors NAME=R,G,B, without --attribute'
        )
        kind = 'a vector file' if vector else 'a raster'
        raise ValueError(f'{pair.label} is {kind}: say what its labels mean by {how}.')
    if vector:
        return nullcontext(PolygonLabels(pair.label, pair.attribute, pair.codes, grid))
    return RasterLabels(pair.label, pair.codes, grid)


def _label_values(codes: LabelCodes | None) -> list[tuple] | None:
    """Which class a value or colour of the label raster means, as pairs; None if there is none."""
    if codes is None or codes.kind == 'attribute':
        return None
    return list(codes.lookup.items())


def _finish(cutter: Cutter, out: Path, cutting: Cutting, codes: LabelCodes | None) -> Report:
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
    cutouts = {split: [cutter.written[t] for t in members] for split, members in splits.items()}
    write_splits(cutter.folder, cutouts)
    aux_range = cutter.aux_range()
    text = dataset_file(
        (Path(cutter.grid.path).name, Path(cutter.aux.path).name),
        cutter.classes,
        range(1, min(3, len(cutter.img_bands)) + 1),
        range(1, len(cutter.aux_bands) + 1),
        aux_range,
        min(MIN_SIDE, *(min(t.window[2:]) for t in splits.get('train', tiles))),
        tiled_from={
            'img_bands': tuple(cutter.img_bands),
            'aux_bands': tuple(cutter.aux_bands),
            'label_values': _label_values(codes),
        },
    )
    write_text(cutter.folder / 'dataset.py', text)
    return report_of(out, cutter.classes, cutouts, cutter.dropped, aux_range)
