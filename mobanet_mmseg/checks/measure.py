"""Measures one tile as a dataset reads it, a strip at a time: counts, sums, a hash, its edges."""

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mobanet_mmseg.checks.registration import (
    LEAST_SIDE,
    Pattern,
    Shift,
    Symmetry,
    class_pattern,
    colour_pattern,
    correlation,
    edge_pattern,
    fill_strips,
    find_shift,
    find_symmetry,
    gradient_magnitude,
    label_edges,
)
from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.datasets.loading import UNKNOWN, read_classes
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.modalities import AuxRange, Scaling
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.grids import crs_name
from mobanet_mmseg.rasters.ranges import aux_ranges, band_percentiles
from mobanet_mmseg.rasters.windows import chunks, read_window
from mobanet_mmseg.tiling.windows import Window

OVERVIEW = 1000  # longer side of a reduced tile, pixels
SMALL = 400  # longer side of the tile in which a turn is looked for, pixels
LEVELS = 256  # of the network's 0..1, in which gaps are looked for
WINDOW = 512  # of full resolution, in which shifts are looked for, pixels
WINDOWS = 3  # of them down and across
PERCENTAGES = (0, 1, 10, 50, 90, 99, 100)

Layers = dict[str, np.ndarray | None]


@dataclass(frozen=True)
class RasterReport:
    """What a header says, and how much of a raster is missing.

    Args:
        path: Path of the file.
        height: Rows, pixels.
        width: Columns, pixels.
        bands: Number of bands.
        dtype: numpy's name of the type.
        crs: Short name of the CRS, ``'no CRS'`` without one.
        nodata: Share of the pixels that are nodata, masked, NaN or infinite in any band read.
    """

    path: str
    height: int
    width: int
    bands: int
    dtype: str
    crs: str
    nodata: float


class Gap(NamedTuple):
    """A stretch of 0..1 without any value of a channel.

    Args:
        low: The value below it, in 0..1.
        high: The value above it.
        beyond: Share of the values on the side where the median is not.
        below: Whether that is the lower side.
        levels: How many of 256 levels are taken on the median's side.
    """

    low: float
    high: float
    beyond: float
    below: bool
    levels: int


@dataclass(frozen=True)
class TileReport:
    """What was measured of a tile.

    Args:
        optical: The optical raster.
        aux: The auxiliary raster, None without one.
        label: The label raster, None without one.
        mean: Mean of each optical channel.
        std: Standard deviation of each optical channel.
        percentiles: Values of ``PERCENTAGES`` of each auxiliary channel, in its unit; None where
            it holds none.
        aux_range: What becomes 0 and 1, with True where the rest is clipped; None if values stay.
        filled: Share of 0..1 that the 1st to 99th percentile of each auxiliary channel takes.
        gaps: Longest stretch of 0..1 without any value, of each auxiliary channel.
        outside: Share of the auxiliary values that lie outside of the range.
        counts: Pixels of each class.
        ignored: Share of the pixels without a label.
        unknown: Share of the pixels whose value or colour is of no class.
        shift: How the auxiliary raster lies on the optical one; None if nothing can be said.
        label_shift: How the labels do.
        aux_symmetry: Whether it would fit mirrored or turned.
        label_symmetry: Whether the labels would.
        likeness: Greatest absolute correlation of an optical and an auxiliary channel.
        pixels: Hash of the optical pixels.
        aux_fill: What each auxiliary channel is where there are no data, scaled.
    """

    optical: RasterReport
    aux: RasterReport | None
    label: RasterReport | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    percentiles: tuple[tuple[float | None, ...], ...]
    aux_range: tuple | None
    filled: tuple[float, ...]
    gaps: tuple[Gap, ...]
    outside: float
    counts: tuple[int, ...]
    ignored: float
    unknown: float
    shift: Shift | None
    label_shift: Shift | None
    aux_symmetry: Symmetry | None
    label_symmetry: Symmetry | None
    likeness: float
    pixels: str
    aux_fill: tuple[float, ...] = ()


def measure_tile(dataset: MultimodalSegDataset, tile: dict[str, Any]) -> tuple[TileReport, Layers]:
    """Measure a tile; its pixels are read a few times, a strip at a time.

    Args:
        dataset: Says how the tile is read.
        tile: Its files, height and width, as ``check_tile`` leaves them.

    Returns:
        The report, and the reduced layers ``rgb`` (h, w, C), ``aux`` (h, w, C) and ``truth``
        (h, w) for a picture; None where there is no such raster.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unreadable, or cannot be used as the dataset says.
    """
    scaling, percentiles = None, ()
    if 'aux_path' in tile:
        scaled_by = AuxRange.parse(dataset.aux_range, optional=dataset.missing_aux == 'zeros')
        (scaling,) = aux_ranges([tile['aux_path']], dataset.aux_bands, scaled_by)
        percentiles = _percentiles(tile['aux_path'], dataset.aux_bands)
    scan = _Scan(dataset, tile, scaling)
    for strip in chunks(read_info(tile['img_path']), scan.factor):
        scan.add(strip)
    layers = scan.layers()
    counts = scan.counts.tolist()
    report = TileReport(
        optical=scan.raster_report('img_path'),
        aux=scan.raster_report('aux_path'),
        label=scan.raster_report('seg_map_path'),
        **scan.optical_moments(),
        percentiles=percentiles,
        aux_range=scaling and tuple(scaling if scaling.clip else scaling[:2]),
        filled=_filled(percentiles, scaling),
        gaps=tuple(_gap(counts) for counts in scan.levels),
        outside=scan.num_outside / max(1, scan.size - scan.missing.get('aux_path', 0)),
        counts=tuple(counts[: len(dataset.metainfo['classes'])]),
        ignored=counts[IGNORE_INDEX] / scan.size,
        unknown=counts[UNKNOWN] / scan.size,
        **_registration(dataset, tile, layers),
        likeness=_likeness(layers['rgb'], layers['aux']),
        pixels=scan.hash.hexdigest(),
        aux_fill=tuple(np.broadcast_to(dataset.aux_fill, len(dataset.aux_bands)).tolist()),
    )
    return report, layers


class _Scan:
    """What is gathered of a tile strip by strip."""

    def __init__(
        self, dataset: MultimodalSegDataset, tile: dict[str, Any], scaling: Scaling | None
    ) -> None:
        self.tile, self.scaling = tile, scaling
        self.bands = {'img_path': dataset.img_bands}
        if 'aux_path' in tile:
            self.bands['aux_path'] = dataset.aux_bands
        self.lookup = dataset.label_lookup
        self.shape = tile['height'], tile['width']
        self.size = math.prod(self.shape)
        self.factor = max(1, math.ceil(max(self.shape) / OVERVIEW))
        self.missing = dict.fromkeys(self.bands, 0)  # pixels without data
        self.moments = np.zeros((3, len(dataset.img_bands)))  # number, sum, sum of squares
        self.num_outside = 0
        self.levels = np.zeros((len(dataset.aux_bands), LEVELS), np.int64)  # of 0..1
        self.counts = np.zeros(256, np.int64)  # of each label
        self.hash = hashlib.blake2b(str(self.shape).encode(), digest_size=16)
        self.parts: dict[str, list[np.ndarray]] = {'rgb': [], 'aux': [], 'truth': []}

    def add(self, window: Window) -> None:
        """Read a strip of all rasters."""
        optical = self._read('img_path', window)
        self.parts['rgb'].append(_reduce(optical, self.factor))
        self.hash.update(np.ascontiguousarray(optical).data)
        axes = {'axis': (0, 1), 'dtype': np.float64}
        self.moments += (
            np.isfinite(optical).sum(axis=(0, 1)),
            np.nansum(optical, **axes),
            np.nansum(np.square(optical, dtype=np.float64), **axes),
        )
        if 'aux_path' in self.bands:
            aux = self._read('aux_path', window)
            self.parts['aux'].append(_reduce(aux, self.factor))
            if self.scaling is not None:
                low, high = map(np.asarray, self.scaling[:2])
                outside = (aux < low) | (aux > high)
                self.num_outside += int(outside.any(axis=-1).sum())
                bands = np.moveaxis((aux - low) / (high - low), -1, 0)
                for counts, values in zip(self.levels, bands, strict=True):
                    inside = values[(values >= 0) & (values <= 1)] * (LEVELS - 1)
                    counts += np.bincount(np.rint(inside).astype(np.intp), minlength=LEVELS)
        if 'seg_map_path' in self.tile:
            labels, _ = read_classes(self.tile['seg_map_path'], self.lookup, window, self.shape)
            self.counts += np.bincount(labels.ravel(), minlength=256)
            self.parts['truth'].append(_sample(labels, self.factor))

    def _read(self, key: str, window: Window) -> np.ndarray:
        path, bands = self.tile[key], self.bands[key]
        of_aux = key == 'aux_path'  # as the transform reads: the optical one as it is stored
        pixels = read_window(path, bands, window, self.shape, nodata_to_nan=True, measured=of_aux)
        self.missing[key] += int(np.isnan(pixels).any(axis=-1).sum())
        return pixels

    def raster_report(self, key: str) -> RasterReport | None:
        """Describe one of the tile's rasters, if it has it."""
        if key not in self.tile:
            return None
        info = read_info(self.tile[key])
        size, crs = (info.height, info.width, info.count), crs_name(info.crs)
        nodata = self.missing.get(key, 0) / self.size
        return RasterReport(self.tile[key], *size, info.dtype, crs, nodata)

    def optical_moments(self) -> dict[str, tuple[float, ...]]:
        """Mean and standard deviation of each optical channel."""
        mean, squares = self.moments[1:] / np.maximum(self.moments[0], 1)
        std = np.sqrt(np.maximum(squares - mean**2, 0))
        return {'mean': tuple(mean.tolist()), 'std': tuple(std.tolist())}

    def layers(self) -> Layers:
        """The reduced tile."""
        whole = {key: np.concatenate(parts) if parts else None for key, parts in self.parts.items()}
        if whole['truth'] is not None:
            whole['truth'] = np.where(whole['truth'] == UNKNOWN, IGNORE_INDEX, whole['truth'])
        return whole


def _reduce(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of (factor, factor) blocks of (h, w, C) pixels; a block with NaN is NaN."""
    if factor == 1:
        return pixels
    h, w = (side // factor for side in pixels.shape[:2])
    blocks = pixels[: h * factor, : w * factor].reshape(h, factor, w, factor, -1)
    return blocks.mean(axis=(1, 3), dtype=np.float32)


def _sample(labels: np.ndarray, factor: int) -> np.ndarray:
    """The middle pixel of each block of ``_reduce``."""
    h, w = (side // factor * factor for side in labels.shape)
    return labels[factor // 2 : h : factor, factor // 2 : w : factor]


def _percentiles(path: str, bands: tuple[int, ...]) -> tuple[tuple[float | None, ...], ...]:
    """Values of ``PERCENTAGES`` of each band; None where a band holds none."""
    found = band_percentiles(path, PERCENTAGES).values()
    return tuple(tuple(values[band - 1] for values in found) for band in bands)


def _filled(
    percentiles: tuple[tuple[float | None, ...], ...], scaling: Scaling | None
) -> tuple[float, ...]:
    if scaling is None:
        return ()
    lows, highs = (np.broadcast_to(limit, len(percentiles)) for limit in scaling[:2])
    return tuple(
        0.0 if p1 is None else float(max(0.0, min(p99, high) - max(p1, low)) / (high - low))
        for (_, p1, *_, p99, _), low, high in zip(percentiles, lows, highs, strict=True)
    )


def _gap(counts: np.ndarray) -> Gap:
    """Find the longest stretch without a value between two of the counted levels."""
    taken = np.flatnonzero(counts)
    if taken.size < 2:
        return Gap(0.0, 0.0, 0.0, False, taken.size)
    index = int(np.diff(taken).argmax())
    until, total = counts[: taken[index] + 1].sum(), counts.sum()
    below = bool(until * 2 < total)
    low, high = (float(level) / (LEVELS - 1) for level in taken[index : index + 2])
    beyond, levels = (until, taken.size - index - 1) if below else (total - until, index + 1)
    return Gap(low, high, float(beyond / total), below, int(levels))


def _registration(
    dataset: MultimodalSegDataset, tile: dict[str, Any], layers: Layers
) -> dict[str, Shift | Symmetry | None]:
    """Compare where optical image, auxiliary image and labels show the same."""
    shape, num_classes = (tile['height'], tile['width']), len(dataset.metainfo['classes'])
    factor = math.ceil(max(layers['rgb'].shape[:2]) / SMALL)
    rgb = _reduce(layers['rgb'], factor)
    aux = None if layers['aux'] is None else _reduce(layers['aux'], factor)
    truth = None if layers['truth'] is None else _sample(layers['truth'], factor)
    found = dict.fromkeys(('shift', 'label_shift', 'aux_symmetry', 'label_symmetry'))
    if min(rgb.shape[:2]) >= LEAST_SIDE:
        if aux is not None:
            found['aux_symmetry'] = find_symmetry(_heights_ways(rgb, aux))
        if truth is not None:
            found['label_symmetry'] = find_symmetry(_labels_ways(rgb, truth, num_classes))
    if min(shape) >= LEAST_SIDE:
        windows = list(_windows(dataset, tile))
        if aux is not None:
            ways = (_heights_ways(rgb, aux) for rgb, aux, _ in windows)
            found['shift'] = find_shift(zip(*ways, strict=True))
        if truth is not None:
            ways = (_labels_ways(rgb, truth, num_classes) for rgb, _, truth in windows)
            found['label_shift'] = find_shift(zip(*ways, strict=True))
    return found


def _heights_ways(rgb: np.ndarray, aux: np.ndarray) -> Iterator[tuple[Pattern, Pattern]]:
    """How an auxiliary image is compared with the optical one: by their edges."""
    yield edge_pattern(gradient_magnitude(rgb)), edge_pattern(gradient_magnitude(aux[..., 0]))


def _labels_ways(
    rgb: np.ndarray, truth: np.ndarray, num_classes: int
) -> Iterator[tuple[Pattern, Pattern]]:
    """How labels are compared with the optical image: by edges, then by the classes' colours."""
    truth = fill_strips(truth, num_classes)
    yield edge_pattern(gradient_magnitude(rgb)), edge_pattern(label_edges(truth))
    yield colour_pattern(rgb), class_pattern(truth, num_classes)


def _likeness(rgb: np.ndarray, aux: np.ndarray | None) -> float:
    if aux is None:
        return 0.0
    valid = np.isfinite(rgb).all(axis=-1) & np.isfinite(aux).all(axis=-1)
    if not valid.any():
        return 0.0
    pairs = [(i, j) for i in range(rgb.shape[-1]) for j in range(aux.shape[-1])]
    return max(abs(correlation(rgb[valid][:, i], aux[valid][:, j])) for i, j in pairs)


def _windows(
    dataset: MultimodalSegDataset, tile: dict[str, Any]
) -> Iterator[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]]:
    """Optical image, auxiliary channel and labels of windows spread over the tile, unreduced."""
    shape = tile['height'], tile['width']
    sides = [min(WINDOW, side) for side in shape]
    starts = [
        sorted({round(step * (side - window) / (WINDOWS - 1)) for step in range(WINDOWS)})
        for side, window in zip(shape, sides, strict=True)
    ]
    bands = {'img_path': dataset.img_bands, 'aux_path': dataset.aux_bands[:1]}
    for row, col in itertools.product(*starts):
        window, truth = Window(row, col, *sides), None
        optical, aux = (
            read_window(tile[key], numbers, window, shape, nodata_to_nan=True)
            if key in tile
            else None
            for key, numbers in bands.items()
        )
        if 'seg_map_path' in tile:
            labels, _ = read_classes(tile['seg_map_path'], dataset.label_lookup, window, shape)
            truth = np.where(labels == UNKNOWN, IGNORE_INDEX, labels)
        yield optical, aux, truth
