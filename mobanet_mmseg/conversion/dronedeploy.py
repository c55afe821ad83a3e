"""Converts DroneDeploy's Segmentation Dataset, as it is unpacked, into tiles of class indices.

https://github.com/dronedeploy/dd-ml-segmentation-benchmark
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.errors import NotGeoreferencedWarning
from rich.progress import track

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.conversion.cutting import (
    MIN_SIDE,
    Cutout,
    Cutter,
    cut,
    report_of,
    write_splits,
)
from mobanet_mmseg.conversion.labels import parse_codes
from mobanet_mmseg.conversion.report import Report
from mobanet_mmseg.datasets.loading import UNKNOWN, read_classes
from mobanet_mmseg.datasets.multimodal import shown
from mobanet_mmseg.folders import whole_folder
from mobanet_mmseg.rasters.files import RasterInfo, close_rasters, read_info
from mobanet_mmseg.rasters.grids import check_sizes, same_size
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.rasters.warping import float_type, warped_values
from mobanet_mmseg.rasters.windows import check_bands, chunks, read_window
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.writing import check_outputs

ORTHO, ELEVATION, LABEL = '-ortho.tif', '-elev.tif', '-label.png'
CODES = parse_codes(
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
TOOL = 'dronedeploy.py'
# No land lies outside of this, metres: such a value is a 'no data' that the file does not name.
LOWEST, HIGHEST = -500.0, 9000.0

HeightReader = Callable[[Window], np.ndarray]


class Scene(NamedTuple):
    """The files of one scene.

    Args:
        name: What their names begin with.
        split: The benchmark's split that it is in.
        ortho: Optical raster.
        elevation: Heights, metres.
        label: Classes in colours, on the optical raster's pixels.
    """

    name: str
    split: str
    ortho: Path
    elevation: Path
    label: Path


def benchmark_split() -> dict[str, str]:
    """Which scenes validate and test in the benchmark; all others train."""
    text = Path(__file__).with_name('dronedeploy_scenes.txt').read_text(encoding='utf-8')
    pairs = [line.split() for line in text.splitlines() if not line.startswith('#')]
    return {name: split for split, name in pairs}


def find_scenes(source: Path) -> list[Scene]:
    """Find the scenes of an unpacked download.

    Args:
        source: Its folder, or the one around it.

    Raises:
        FileNotFoundError: If there are none, or one lacks its elevation or label.
    """
    roots = [source, source / 'dataset-medium', source / 'dataset-sample']
    root = next((root for root in roots if (root / 'images').is_dir()), None)
    orthos = [] if root is None else sorted((root / 'images').glob(f'*{ORTHO}'))
    if not orthos:
        raise FileNotFoundError(
            f'{source} holds no images/*{ORTHO}: give the folder with images, elevations and '
            'labels that the download (dataset-medium.tar.gz) unpacks to.'
        )
    # the README says 'elevation', the download has 'elevations'
    heights = root / ('elevations' if (root / 'elevations').is_dir() else 'elevation')
    splits = benchmark_split()
    scenes = []
    for ortho in orthos:
        name = ortho.name.removesuffix(ORTHO)
        files = ortho, heights / (name + ELEVATION), root / 'labels' / (name + LABEL)
        scenes.append(Scene(name, splits.get(name, 'train'), *files))
    missing = [path for scene in scenes for path in scene[2:] if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f'{len(missing)} files of {len(scenes)} scenes are missing: {shown(missing)}; unpack '
            'the download again, or move the orthos of these scenes away.'
        )
    return scenes


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
        for window in chunks(replace(info, height=grid.height, width=grid.width)):
            classes, pixels = read_classes(path, CODES.lookup, window, shape)
            unknown = classes == UNKNOWN
            colours, counts = np.unique(pixels[unknown], axis=0, return_counts=True)
            for colour, count in zip(colours.tolist(), counts.tolist(), strict=True):
                self.off_palette[tuple(colour)] += count
            classes[unknown] = IGNORE_INDEX
            self.indices[window.rows] = classes

    def read(self, window: Window) -> np.ndarray:
        """Give (h, w) uint8 class indices, 255 where there is no label.

        Args:
            window: Window of the optical raster.
        """
        return self.indices[window.rows, window.cols].copy()


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
    if tile < 1:
        raise ValueError(f'Got tiles of {tile} pixels: give 1 or more.')
    scenes = find_scenes(source)
    check_outputs([out], files_behind(*(path for scene in scenes for path in scene[2:])))
    splits: dict[str, list[Cutout]] = {split: [] for split in SPLITS}
    dropped: Counter = Counter()
    off_palette: list[str] = []
    with warnings.catch_warnings(), whole_folder(out, TOOL, overwrite=overwrite) as folder:
        warnings.simplefilter('ignore', NotGeoreferencedWarning)  # gone by the pixels
        for scene in track(scenes, 'Cutting the scenes'):
            cutter, colours = _cut_scene(scene, folder, tile)
            splits[scene.split] += cutter.written.values()
            dropped += cutter.dropped
            off_palette += _off_palette(scene, colours)
            close_rasters()
        write_splits(folder, splits)
        if not any(splits.values()):
            raise ValueError(f'No tile of the scenes in {source} is left: {dict(dropped)}.')
    counts = Counter(scene.split for scene in scenes)
    return report_of(
        out,
        CODES.classes,
        splits,
        dropped,
        'tile',
        notes=['scenes: ' + ', '.join(f'{counts[split]} {split}' for split in SPLITS)],
        warnings=off_palette,
        advice='its scenes have none, or are not there',
    )


def _cut_scene(scene: Scene, folder: Path, tile: int) -> tuple[Cutter, Counter]:
    """Write the tiles of a scene; give what was written and the colours that no class has."""
    grid, aux = read_info(scene.ortho), read_info(scene.elevation)
    check_bands(grid, (1, 2, 3))
    if aux.count != 1:
        raise ValueError(
            f'{aux.path} has {aux.count} bands; an elevation has 1: download it again.'
        )
    labels = SceneLabels(scene.label, grid)
    side = min(tile, grid.height, grid.width)
    with _heights(grid, aux) as read_aux:
        cutter = Cutter(folder, grid, aux, (1, 2, 3), (1,), read_aux, labels, CODES.classes)
        for part in cut(grid.height, grid.width, side, min(MIN_SIDE, side)):
            cutter.write(part)
    for part, cutout in list(cutter.written.items()):
        if not cutout.low[0] < cutout.high[0]:  # aux_range='tile' has nothing to scale by
            cutter.remove(part, 'one height alone')
    return cutter, labels.off_palette


def _off_palette(scene: Scene, colours: Counter) -> list[str]:
    if not colours:
        return []
    (colour, most), *_ = colours.most_common(1)
    return [
        f'{scene.label.name} holds {colours.total()} pixels of {len(colours)} colours that no '
        f'class has, most often {colour} ({most}); they are no label'
    ]


@contextmanager
def _heights(grid: RasterInfo, aux: RasterInfo) -> Iterator[HeightReader]:
    """Give how heights of a window are read: by their places, or by their pixels."""
    if all(not info.transform.is_identity and info.crs is not None for info in (grid, aux)):
        with warped_values(aux, grid, (1,)) as warped:
            yield lambda window: _on_land(warped.read(window))
        return
    shape = (grid.height, grid.width)
    if not same_size(aux, shape):
        raise ValueError(
            f'{aux.path} has {aux.height} x {aux.width} pixels and {grid.path} {grid.height} x '
            f'{grid.width}, and they do not both say where they lie, by which one could be warped '
            'onto the other: download both again.'
        )
    dtype = float_type(aux, (1,))
    yield lambda window: _on_land(
        read_window(aux.path, (1,), window, shape, measured=True).astype(dtype, copy=False)
    )


def _on_land(heights: np.ndarray) -> np.ndarray:
    with np.errstate(invalid='ignore'):
        heights[(heights < LOWEST) | (heights > HIGHEST)] = np.nan
    return heights
