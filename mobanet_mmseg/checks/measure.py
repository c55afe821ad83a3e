"""Measures one tile as a dataset reads it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobanet_mmseg.checks.registration import (
    MAX_SHIFT,
    Shift,
    Symmetry,
    correlation,
    find_shift,
    find_symmetry,
    gradient_magnitude,
    label_edges,
)
from mobanet_mmseg.checks.scan import scan_tile
from mobanet_mmseg.datasets.loading import UNKNOWN
from mobanet_mmseg.datasets.multimodal import IGNORE_INDEX, MultimodalSegDataset
from mobanet_mmseg.rasters.grids import crs_name
from mobanet_mmseg.rasters.percentiles import band_percentiles
from mobanet_mmseg.rasters.ranges import aux_ranges
from mobanet_mmseg.rasters.windows import AuxRange, read_info, read_window

WINDOW = 512  # of full resolution, in which shifts are looked for, pixels
WINDOWS = 3  # of them down and across
PERCENTAGES = (0, 1, 10, 50, 90, 99, 100)


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


@dataclass(frozen=True)
class TileReport:
    """What was measured of a tile.

    Args:
        optical: The optical raster.
        aux: The auxiliary raster.
        label: The label raster, None without one.
        mean: Mean of each optical channel.
        std: Standard deviation of each optical channel.
        percentiles: Values of ``PERCENTAGES`` of each auxiliary channel, in its unit.
        aux_range: What becomes 0 and 1, None if values stay.
        filled: Share of 0..1 that the 1st to 99th percentile of each auxiliary channel takes.
        outside: Share of the auxiliary values that lie outside of the range.
        counts: Pixels of each class.
        ignored: Share of the pixels without a label.
        unknown: Share of the pixels whose value or colour is of no class.
        shift: How the auxiliary raster lies on the optical one; None if nothing can be said.
        aux_symmetry: Whether it would fit mirrored or turned.
        label_symmetry: Whether the labels would.
        likeness: Greatest absolute correlation of an optical and an auxiliary channel.
        pixels: Hash of the optical pixels.
    """

    optical: RasterReport
    aux: RasterReport
    label: RasterReport | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    percentiles: tuple[tuple[float, ...], ...]
    aux_range: AuxRange | None
    filled: tuple[float, ...]
    outside: float
    counts: tuple[int, ...]
    ignored: float
    unknown: float
    shift: Shift | None
    aux_symmetry: Symmetry | None
    label_symmetry: Symmetry | None
    likeness: float
    pixels: str


def measure_tile(
    dataset: MultimodalSegDataset, tile: dict[str, Any]
) -> tuple[TileReport, dict[str, np.ndarray | None]]:
    """Measure a tile; its pixels are read a few times, a strip at a time.

    Args:
        dataset: Says how the tile is read.
        tile: Its files, height and width, as ``check_tile`` leaves them.

    Returns:
        The report, and the reduced layers ``rgb`` (h, w, C), ``aux`` (h, w, C) and ``truth``
        (h, w) for a picture.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unreadable, or cannot be used as the dataset says.
    """
    (limits,) = aux_ranges([tile['aux_path']], dataset.aux_bands, dataset.aux_range)
    percentiles = _percentiles(tile['aux_path'], dataset.aux_bands)
    sums = scan_tile(dataset, tile, limits)
    layers = sums.layers()
    report = TileReport(
        optical=_raster_report(tile['img_path'], sums.nodata['img_path']),
        aux=_raster_report(tile['aux_path'], sums.nodata['aux_path']),
        label=_raster_report(tile['seg_map_path'], 0.0) if 'seg_map_path' in tile else None,
        mean=sums.mean,
        std=sums.std,
        percentiles=percentiles,
        aux_range=limits,
        filled=_filled(percentiles, limits),
        outside=sums.outside,
        counts=tuple(sums.counts[: len(dataset.metainfo['classes'])].tolist()),
        ignored=sums.share(IGNORE_INDEX),
        unknown=sums.share(UNKNOWN),
        **_edges(dataset, tile, layers),
        pixels=sums.hash.hexdigest(),
    )
    return report, layers


def _raster_report(path: str, nodata: float) -> RasterReport:
    info = read_info(path)
    size = (info.height, info.width, info.count)
    return RasterReport(path, *size, info.dtype, crs_name(info.crs), nodata)


def _percentiles(path: str, bands: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Values of ``PERCENTAGES`` of each band; NaN where a band holds none."""
    found = band_percentiles(path, PERCENTAGES)
    every = [[values[band - 1] for values in found.values()] for band in bands]
    return tuple(tuple(math.nan if v is None else v for v in values) for values in every)


def _filled(
    percentiles: tuple[tuple[float, ...], ...], limits: AuxRange | None
) -> tuple[float, ...]:
    if limits is None:
        return ()
    lows, highs = (np.broadcast_to(limit, len(percentiles)) for limit in limits[:2])
    return tuple(
        float(max(0.0, min(p99, high) - max(p1, low)) / (high - low))
        for (_, p1, *_, p99, _), low, high in zip(percentiles, lows, highs, strict=True)
    )


def _edges(
    dataset: MultimodalSegDataset, tile: dict[str, Any], layers: dict[str, np.ndarray | None]
) -> dict[str, Any]:
    """Compare where the edges of optical image, auxiliary image and labels are."""
    rgb, aux, truth = layers.values()
    found = {'shift': None, 'aux_symmetry': None, 'label_symmetry': None, 'likeness': 0.0}
    if min(rgb.shape[:2]) < 4 * MAX_SHIFT:
        return found
    edges = gradient_magnitude(rgb.mean(axis=-1))
    found['shift'] = find_shift(_windows(dataset, tile))
    found['aux_symmetry'] = find_symmetry(edges, gradient_magnitude(aux[..., 0]))
    if truth is not None:
        found['label_symmetry'] = find_symmetry(edges, label_edges(truth))
    valid = np.isfinite(rgb).all(axis=-1) & np.isfinite(aux).all(axis=-1)
    if valid.any():
        pairs = [(i, j) for i in range(rgb.shape[-1]) for j in range(aux.shape[-1])]
        found['likeness'] = max(
            abs(correlation(rgb[valid][:, i], aux[valid][:, j])) for i, j in pairs
        )
    return found


def _windows(
    dataset: MultimodalSegDataset, tile: dict[str, Any]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Edges of both modalities in windows spread over the tile, at full resolution."""
    shape = tile['height'], tile['width']
    sides = [min(WINDOW, side) for side in shape]
    starts = [
        sorted({round(step * (side - window) / (WINDOWS - 1)) for step in range(WINDOWS)})
        for side, window in zip(shape, sides, strict=True)
    ]
    for row in starts[0]:
        for col in starts[1]:
            window = (row, col, *sides)
            optical = read_window(
                tile['img_path'], dataset.img_bands, window, shape, nodata_to_nan=True
            )
            aux = read_window(
                tile['aux_path'], dataset.aux_bands[:1], window, shape, nodata_to_nan=True
            )
            yield gradient_magnitude(optical.mean(axis=-1)), gradient_magnitude(aux[..., 0])
