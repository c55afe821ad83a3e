"""Converts DroneDeploy's Segmentation Dataset, as it is unpacked, into tiles of class indices.

https://github.com/dronedeploy/dd-ml-segmentation-benchmark
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rich.progress import track

from mobanet_mmseg.conversion.dronedeploy_scenes import LABEL, Scene, find_scenes
from mobanet_mmseg.conversion.legends import Legend, parse_legend
from mobanet_mmseg.conversion.raster_pair import MIN_SIDE, Report
from mobanet_mmseg.conversion.splitting import PixelWindow, cut
from mobanet_mmseg.conversion.tiles import FOLDERS, Cutout, Cutter, RasterPair
from mobanet_mmseg.datasets.loading import UNKNOWN, classes_of
from mobanet_mmseg.datasets.multimodal import IGNORE_INDEX
from mobanet_mmseg.rasters.files import close_rasters
from mobanet_mmseg.rasters.warping import (
    bounds_of,
    check_crs,
    check_overlap,
    float_type,
    read_warped,
    warped_values,
)
from mobanet_mmseg.rasters.windows import (
    MAX_EDGE,
    RasterInfo,
    check_bands,
    check_sizes,
    read_info,
    read_window,
)
from mobanet_mmseg.writing import check_folder, whole_folder, write_text

LEGEND: Legend = parse_legend(
    'color',
    [
        'building=230,25,75',
        'clutter=145,30,180',
        'vegetation=60,180,75',
        'water=245,130,48',
        'ground=255,255,255',
        'car=0,130,200',
    ],
    ignore=['255,0,255'],
)
SPLITS = ('train', 'val', 'test')
WRITTEN = {*FOLDERS, *(f'{split}.txt' for split in SPLITS)}
STRIP = 256  # rows of a label that are in memory in colours: a PNG is read from its top
# No land lies outside of this, metres: such a value is a 'no data' that the file does not name.
LOWEST, HIGHEST = -500.0, 9000.0


class SceneLabels:
    """A label in colours as class indices, pixel by pixel those of the optical raster.

    Args:
        path: The file.
        grid: Header of the optical raster.

    Raises:
        ValueError: If it is no label in colours, or of another size.
    """

    def __init__(self, path: Path, grid: RasterInfo) -> None:
        info = read_info(path)
        if info.count not in (3, 4) or info.dtype != 'uint8':
            raise ValueError(
                f'{path} has {info.count} band(s) of {info.dtype}; a label has 3 of uint8, its '
                'colours: download it again.'
            )
        check_sizes(info, grid)
        shape = (grid.height, grid.width)
        self.indices = np.empty(shape, np.uint8)
        self.off_palette: Counter = Counter()
        for row in range(0, grid.height, STRIP):
            rows = min(STRIP, grid.height - row)
            pixels = read_window(path, (1, 2, 3), (row, 0, rows, grid.width), shape)
            classes = classes_of(pixels, LEGEND.lookup)
            unknown = classes == UNKNOWN
            colours, counts = np.unique(pixels[unknown], axis=0, return_counts=True)
            self.off_palette.update(
                dict(zip(map(tuple, colours.tolist()), counts.tolist(), strict=True))
            )
            classes[unknown] = IGNORE_INDEX
            self.indices[row : row + rows] = classes

    def read(self, window: PixelWindow) -> np.ndarray:
        """Give (h, w) uint8 class indices, 255 where there is no label.

        Args:
            window: (row, col, height, width), pixels.
        """
        row, col, height, width = window
        return self.indices[row : row + height, col : col + width].copy()


def convert(
    source: str | Path, out: str | Path, *, tile: int = 1024, overwrite: bool = False
) -> Report:
    """Convert the scenes into tiles, with the benchmark's split.

    Writes ``img/``, ``aux/`` and ``label/`` with a GeoTIFF of the same name for each tile, and
    ``train.txt``, ``val.txt`` and ``test.txt``, in a folder beside ``out`` that takes its name once
    all is there. A scene that the benchmark's validation and test do not name trains.

    Args:
        source: Folder that holds ``images``, ``elevations`` and ``labels``, or one that holds
            ``dataset-medium`` or ``dataset-sample``.
        out: Folder to write.
        tile: Side of a tile, pixels.
        overwrite: Whether an earlier conversion in ``out`` is replaced.

    Raises:
        FileNotFoundError: If there are no scenes, or one lacks a file.
        OSError: If ``out`` cannot be written.
        ValueError: If a raster, the tile or ``out`` does not fit.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    if out == source or out in source.parents:
        raise ValueError(f'{source} lies in {out}, which is written: give another folder.')
    if tile < 1:
        raise ValueError(f'Got tiles of {tile} pixels: give 1 or more.')
    check_folder(out, WRITTEN, 'test.txt', overwrite)
    scenes = find_scenes(source)
    off_palette: dict[str, Counter] = {}
    splits: dict[str, list[Cutout]] = {split: [] for split in SPLITS}
    dropped: Counter = Counter()
    with warnings.catch_warnings(), whole_folder(out) as folder:
        warnings.simplefilter('ignore', NotGeoreferencedWarning)  # gone by the pixels
        for scene in track(scenes, 'Cutting the scenes'):
            cutter, unknown = _cut_scene(scene, folder, tile)
            splits[scene.split] += cutter.written.values()
            dropped += cutter.dropped
            if unknown:
                off_palette[scene.name] = unknown
            close_rasters()
        for split, cutouts in splits.items():
            names = ''.join(f'{cutout.name}\n' for cutout in cutouts)
            write_text(folder / f'{split}.txt', names)
        if not any(splits.values()):
            raise ValueError(f'No tile of the scenes in {source} is left: {dict(dropped)}.')
    return _report(out, scenes, splits, dropped, off_palette)


def _cut_scene(scene: Scene, folder: Path, tile: int) -> tuple[Cutter, Counter]:
    """Write the tiles of a scene; give what was written and the colours that no class has."""
    grid, aux = read_info(scene.ortho), read_info(scene.elevation)
    check_bands(grid, (1, 2, 3))
    if aux.count != 1:
        raise ValueError(
            f'{aux.path} has {aux.count} bands; an elevation has 1: download it again.'
        )
    labels = SceneLabels(scene.label, grid)
    pair = RasterPair(grid.path, aux.path, str(scene.label), LEGEND, None, (1, 2, 3), (1,))
    side = min(tile, grid.height, grid.width)
    with _heights(grid, aux) as read_aux:
        cutter = Cutter(folder, pair, grid, aux, read_aux, labels)
        for part in cut(grid.height, grid.width, side, min(MIN_SIDE, side)):
            cutter.write(part)
    for part, cutout in list(cutter.written.items()):
        if not cutout.low[0] < cutout.high[0]:  # aux_range='tile' has nothing to scale by
            cutter.remove(part, 'one height alone')
    return cutter, labels.off_palette


@contextmanager
def _heights(grid: RasterInfo, aux: RasterInfo) -> Iterator[partial]:
    """Give how heights of a window are read: by their places, or by their pixels."""
    if _has_place(grid) and _has_place(aux):
        check_crs(aux.path, aux.crs, grid)
        check_overlap(aux.path, aux.crs, bounds_of(aux), grid)
        with warped_values(aux, grid, Resampling.bilinear) as vrt:
            yield partial(_on_land, partial(read_warped, vrt))
        return
    if max(abs(aux.height - grid.height), abs(aux.width - grid.width)) > MAX_EDGE:
        raise ValueError(
            f'{aux.path} has {aux.height} x {aux.width} pixels and {grid.path} {grid.height} x '
            f'{grid.width}, and they do not both say where they lie, by which one could be warped '
            'onto the other: download both again.'
        )
    yield partial(_on_land, partial(_read_pixels, aux, (grid.height, grid.width)))


def _has_place(info: RasterInfo) -> bool:
    return not info.transform.is_identity and info.crs is not None


def _read_pixels(
    aux: RasterInfo, shape: tuple[int, int], bands: Sequence[int], window: PixelWindow
) -> np.ndarray:
    values = read_window(aux.path, bands, window, shape, nodata_to_nan=True)
    return np.moveaxis(values, -1, 0).astype(float_type(aux), copy=False)


def _on_land(read: partial, bands: Sequence[int], window: PixelWindow) -> np.ndarray:
    heights = read(bands, window)
    with np.errstate(invalid='ignore'):
        heights[(heights < LOWEST) | (heights > HIGHEST)] = np.nan
    return heights


def _report(
    out: Path,
    scenes: Sequence[Scene],
    splits: dict[str, list[Cutout]],
    dropped: Counter,
    off_palette: dict[str, Counter],
) -> Report:
    cutouts = [cutout for members in splits.values() for cutout in members]
    counts = Counter(scene.split for scene in scenes)
    notes = ['scenes: ' + ', '.join(f'{counts[split]} {split}' for split in SPLITS)]
    for name, colours in off_palette.items():
        (colour, most), *_ = colours.most_common(1)
        notes.append(
            f'WARNING: {name}{LABEL} holds {colours.total()} pixels of {len(colours)} colours that '
            f'no class has, most often {colour} ({most}); they are no label'
        )
    return Report(
        out,
        LEGEND.classes,
        {split: [cutout.name for cutout in members] for split, members in splits.items()},
        dropped,
        {
            split: sum(
                (cutout.pixels for cutout in members), np.zeros(len(LEGEND.classes) + 1, np.int64)
            )
            for split, members in splits.items()
        },
        sum(cutout.no_optical for cutout in cutouts),
        sum(cutout.no_aux for cutout in cutouts),
        "'tile'",
        notes,
        'its scenes have none, or are not there',
    )
