"""Reads a tile once, a strip at a time: counts, sums, a hash and a reduced copy."""

import hashlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mobanet_mmseg.datasets.loading import UNKNOWN, read_classes
from mobanet_mmseg.datasets.multimodal import IGNORE_INDEX, MultimodalSegDataset
from mobanet_mmseg.rasters.windows import AuxRange, read_window

CHUNK_PIXELS = 1_000_000
OVERVIEW = 1000  # longer side of a reduced tile, pixels


def scan_tile(
    dataset: MultimodalSegDataset, tile: dict[str, Any], limits: AuxRange | None
) -> 'TileScan':
    """Read a tile strip by strip.

    Args:
        dataset: Says how the tile is read.
        tile: Its files, height and width.
        limits: Values of the auxiliary raster that become 0 and 1, None if they stay.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unreadable or of another kind.
    """
    scan = TileScan(dataset, tile, limits)
    for strip in _strips(tile, scan.factor):
        scan.add(strip)
    return scan


class TileScan:
    """What is gathered of a tile strip by strip.

    Args:
        dataset: Says how the tile is read.
        tile: Its files, height and width.
        limits: Values of the auxiliary raster that become 0 and 1, None if they stay.
    """

    def __init__(
        self, dataset: MultimodalSegDataset, tile: dict[str, Any], limits: AuxRange | None
    ) -> None:
        self.tile, self.limits = tile, limits
        self.bands = {'img_path': dataset.img_bands, 'aux_path': dataset.aux_bands}
        self.lookup = dataset.label_lookup
        self.shape = tile['height'], tile['width']
        self.size = math.prod(self.shape)
        self.factor = max(1, math.ceil(max(self.shape) / OVERVIEW))
        self.missing = dict.fromkeys(self.bands, 0)
        self.moments = np.zeros((3, len(dataset.img_bands)))  # number, sum, sum of squares
        self.num_outside = 0
        self.counts = np.zeros(256, np.int64)
        self.hash = hashlib.blake2b(str(self.shape).encode(), digest_size=16)
        self.parts: dict[str, list[np.ndarray]] = {'rgb': [], 'aux': [], 'truth': []}

    def add(self, window: tuple[int, int, int, int]) -> None:
        """Read a strip of all three rasters.

        Args:
            window: (row, col, height, width), pixels.
        """
        values = {
            key: read_window(self.tile[key], bands, window, self.shape, nodata_to_nan=True)
            for key, bands in self.bands.items()
        }
        for key, pixels in values.items():
            self.missing[key] += int(np.isnan(pixels).any(axis=-1).sum())
        optical, aux = values.values()
        self.hash.update(np.ascontiguousarray(optical).data)
        axes = {'axis': (0, 1), 'dtype': np.float64}
        self.moments += (
            np.isfinite(optical).sum(axis=(0, 1)),
            np.nansum(optical, **axes),
            np.nansum(np.square(optical, dtype=np.float64), **axes),
        )
        if self.limits is not None:
            low, high = (np.asarray(limit) for limit in self.limits[:2])
            self.num_outside += int(((aux < low) | (aux > high)).any(axis=-1).sum())
        self.parts['rgb'].append(_reduce(optical, self.factor))
        self.parts['aux'].append(_reduce(aux, self.factor))
        if 'seg_map_path' in self.tile:
            labels, _ = read_classes(self.tile['seg_map_path'], self.lookup, window, self.shape)
            self.counts += np.bincount(labels.ravel(), minlength=256)
            self.parts['truth'].append(_sample(labels, self.factor))

    def share(self, label: int) -> float:
        """Share of the pixels with a label.

        Args:
            label: Class index.
        """
        return float(self.counts[label] / self.size)

    @property
    def nodata(self) -> dict[str, float]:
        """Share of the pixels without data of ``img_path`` and ``aux_path``."""
        return {key: missing / self.size for key, missing in self.missing.items()}

    @property
    def outside(self) -> float:
        """Share of the valid auxiliary pixels that lie outside of the limits."""
        return self.num_outside / max(1, self.size - self.missing['aux_path'])

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each optical channel."""
        number, total, _ = self.moments
        return tuple((total / np.maximum(number, 1)).tolist())

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each optical channel."""
        _, total, squares = self.moments / np.maximum(self.moments[0], 1)
        return tuple(np.sqrt(np.maximum(squares - total**2, 0)).tolist())

    def layers(self) -> dict[str, np.ndarray | None]:
        """The reduced tile: ``rgb`` and ``aux`` (h, w, C), ``truth`` (h, w) or None."""
        whole = {key: np.concatenate(parts) if parts else None for key, parts in self.parts.items()}
        if whole['truth'] is not None:
            whole['truth'] = np.where(whole['truth'] == UNKNOWN, IGNORE_INDEX, whole['truth'])
        return whole


def _strips(tile: dict[str, Any], factor: int) -> Iterator[tuple[int, int, int, int]]:
    """Windows of whole rows, all but the last a multiple of the factor high."""
    height, width = tile['height'], tile['width']
    rows = max(factor, CHUNK_PIXELS // width // factor * factor)
    for row in range(0, height, rows):
        yield row, 0, min(rows, height - row), width


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
