"""Exact percentiles of a raster's bands, in memory that does not grow with the raster."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from mobanet_mmseg.rasters.windows import read_info, read_window

CHUNK_BYTES = 16_000_000
HALF = 1 << 16  # a key of 32 bits is counted by its upper half, then by its lower


def band_percentiles(path: str, percentages: Sequence[float]) -> dict[float, list[float | None]]:
    """Find percentiles of each band; nodata, NaN and infinite values are left out.

    The value of a percentage is one that the raster holds, that of the nearest rank, to float32's
    precision. The raster is read twice: the values are put in order as 32-bit keys, first counted
    by the keys' upper halves, then, where a percentile lies, by the lower ones. So an outlier of
    any size costs no precision, as it would with bins of equal width.

    Args:
        path: The raster.
        percentages: 0 to 100; 0 is the least and 100 the greatest value.

    Returns:
        One value per band by percentage, in the raster's unit; None for a band without a value.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is unreadable.
    """
    return find_percentiles(lambda: _read_chunks(path), read_info(path).count, percentages)


def find_percentiles(
    read_chunks: Callable[[], Iterable[np.ndarray]], count: int, percentages: Sequence[float]
) -> dict[float, list[float | None]]:
    """Find percentiles of values that are read in chunks; see :func:`band_percentiles`.

    Args:
        read_chunks: Gives the (h, w, count) chunks from the first on each time that it is called.
        count: Number of bands.
        percentages: 0 to 100; 0 is the least and 100 the greatest value.

    Returns:
        One value per band by percentage, in the raster's unit; None for a band without a value.
    """
    upper = np.zeros((count, HALF), np.int64)
    for keys in _keys_of_bands(read_chunks()):
        for band in range(count):
            upper[band] += np.bincount(keys[band] >> 16, minlength=HALF)
    places = [_places(counts, percentages) for counts in upper]
    lower = {
        (band, half): np.zeros(HALF, np.int64) for band in range(count) for half, _ in places[band]
    }
    for keys in _keys_of_bands(read_chunks()) if lower else ():
        for (band, half), counts in lower.items():
            chosen = keys[band][keys[band] >> 16 == half]
            counts += np.bincount(chosen & (HALF - 1), minlength=HALF)
    found: dict[float, list[float | None]] = {percentage: [] for percentage in percentages}
    for band in range(count):
        if not places[band]:
            for values in found.values():
                values.append(None)
            continue
        for (half, rank), values in zip(places[band], found.values(), strict=True):
            rest = int(np.searchsorted(lower[band, half].cumsum(), rank))
            values.append(_value(half << 16 | rest))
    return found


def _places(counts: np.ndarray, percentages: Sequence[float]) -> list[tuple[int, int]]:
    """Upper half of each percentile's key, and its rank (from 1) among the keys of that half."""
    until = counts.cumsum()
    if until[-1] == 0:
        return []
    ranks = [max(1, math.ceil(percentage / 100 * until[-1])) for percentage in percentages]
    halves = [int(np.searchsorted(until, rank)) for rank in ranks]
    return [
        (half, rank - int(until[half] - counts[half]))
        for half, rank in zip(halves, ranks, strict=True)
    ]


def _keys_of_bands(chunks: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Give each band's valid values, chunk by chunk, as uint32 keys in the same order."""
    for values in chunks:
        yield [_keys(values[..., band]) for band in range(values.shape[-1])]


def _read_chunks(path: str) -> Iterator[np.ndarray]:
    info = read_info(path)
    rows = max(1, CHUNK_BYTES // (info.width * info.count * np.dtype(info.dtype).itemsize))
    for row in range(0, info.height, rows):
        window = (row, 0, min(rows, info.height - row), info.width)
        yield read_window(path, range(1, info.count + 1), window, nodata_to_nan=True)


def _keys(values: np.ndarray) -> np.ndarray:
    """Finite values as float32 bit patterns, turned so that they count up with the value."""
    values = values[np.isfinite(values)].astype(np.float32) + np.float32(0)  # -0 becomes 0
    bits = values.view(np.uint32)
    negative = bits >> 31 == 1
    return np.where(negative, ~bits, bits | np.uint32(1 << 31))


def _value(key: int) -> float:
    """The value of a key."""
    bits = key ^ (1 << 31) if key >> 31 else ~key & 0xFFFFFFFF
    return float(np.uint32(bits).view(np.float32))
