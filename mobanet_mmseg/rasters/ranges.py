"""Ranges and percentiles of auxiliary rasters, computed once and kept beside the data."""

import json
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from rich.progress import track

from mobanet_mmseg.modalities import AuxRange, Scaling
from mobanet_mmseg.rasters.files import RasterInfo, identity, read_info
from mobanet_mmseg.rasters.windows import FILL, check_bands, chunks, read_window
from mobanet_mmseg.writing import write_text

STATISTICS_FILE = 'aux_statistics.json'
MAX_STATISTICS = 100_000_000  # bytes: a larger file is not ours
HALF = 1 << 16  # a key of 32 bits is counted by its upper half, then by its lower

Chunks = Callable[[], Iterable[np.ndarray]]  # reads (h, w, bands) from the first on, at each call
Values = list[float | None]  # one per band; None for a band that holds no value

_known: dict[str, dict[str, Any]] = {}  # entries by path, for folders that cannot be written to


def aux_ranges(
    paths: Sequence[str], bands: Sequence[int], aux_range: Any, keep: bool = True
) -> list[Scaling | None]:
    """Say for each auxiliary raster which values become 0 and 1.

    What is known of a raster's own values is read from ``aux_statistics.json`` beside it; the rest
    is computed and added to that file. An entry holds as long as its raster's size, time, nodata
    value, scale and offset are the same.

    Args:
        paths: The rasters.
        bands: Numbers of the bands, counted from 1.
        aux_range: See :meth:`~mobanet_mmseg.modalities.AuxRange.parse`.
        keep: Add what is computed to the file beside the rasters.

    Returns:
        One scaling per raster, None where values stay as they are.

    Raises:
        ValueError: If ``aux_range`` is none, or a band of a raster has no valid value, or only one.
    """
    aux_range = AuxRange.parse(aux_range)
    if aux_range.kind in ('fixed', 'none'):
        return [aux_range.scaling] * len(paths)
    paths = [os.fspath(path) for path in paths]
    for path in paths:
        check_bands(read_info(path), bands)
    by_folder: dict[Path, list[str]] = {}
    for path in paths:
        by_folder.setdefault(Path(path).parent, []).append(path)
    percentages = aux_range.percentages or ()
    for folder, members in by_folder.items():
        _update(folder, members, keep, percentages)
    return [_scaling(path, bands, aux_range, *_limits(path, percentages)) for path in paths]


def find_scaling(
    read_chunks: Chunks, name: str, bands: Sequence[int], aux_range: Any
) -> Scaling | None:
    """Say which of the values that are read in chunks become 0 and 1; nothing of it is kept.

    Args:
        read_chunks: Gives the (h, w, number of bands) chunks, NaN where there is no data, from the
            first on each time that it is called.
        name: What they are of, for the sentence.
        bands: Numbers of the bands, likewise.
        aux_range: See :func:`aux_ranges`.

    Raises:
        ValueError: See :func:`aux_ranges`.
    """
    aux_range = AuxRange.parse(aux_range)
    if aux_range.kind in ('fixed', 'none'):
        return aux_range.scaling
    if aux_range.kind == 'percentile':
        limits = find_percentiles(read_chunks, len(bands), aux_range.percentages).values()
    else:
        limits = _extremes(read_chunks, len(bands))
    low, high = (dict(zip(bands, values, strict=True)) for values in limits)
    return _scaling(name, bands, aux_range, low, high)


def band_percentiles(path: str, percentages: Sequence[float]) -> dict[float, Values]:
    """Find percentiles of each band of a raster; see :func:`find_percentiles`.

    Args:
        path: The raster.
        percentages: 0 to 100; 0 is the least and 100 the greatest value.

    Returns:
        The values by percentage, in the raster's unit.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is unreadable.
    """
    return find_percentiles(lambda: _read_chunks(path), read_info(path).count, percentages)


def find_percentiles(
    read_chunks: Chunks, count: int, percentages: Sequence[float]
) -> dict[float, Values]:
    """Find percentiles exactly, in memory that does not grow with the raster.

    The value of a percentage is one of those read, that of the nearest rank, to float32's
    precision. All is read twice: the values are put in order as 32-bit keys, first counted by the
    keys' upper halves, then, where a percentile lies, by the lower ones. So an outlier of any size
    costs no precision, as it would with bins of equal width.

    Args:
        read_chunks: Gives the (h, w, count) chunks, NaN where there is no data, from the first on
            each time that it is called.
        count: Number of bands.
        percentages: 0 to 100; 0 is the least and 100 the greatest value.

    Returns:
        The values by percentage.
    """
    upper = np.zeros((count, HALF), np.int64)
    for keys in map(_keys_of_bands, read_chunks()):
        for band in range(count):
            upper[band] += np.bincount(keys[band] >> 16, minlength=HALF)
    places = [_places(counts, percentages) for counts in upper]
    lower = {
        (band, half): np.zeros(HALF, np.int64) for band in range(count) for half, _ in places[band]
    }
    for keys in map(_keys_of_bands, read_chunks()) if lower else ():
        for (band, half), counts in lower.items():
            chosen = keys[band][keys[band] >> 16 == half]
            counts += np.bincount(chosen & (HALF - 1), minlength=HALF)
    found: dict[float, Values] = {percentage: [None] * count for percentage in percentages}
    for band in range(count):
        for (half, rank), values in zip(places[band], found.values(), strict=False):
            rest = int(np.searchsorted(lower[band, half].cumsum(), rank))
            values[band] = _value(half << 16 | rest)
    return found


def _update(folder: Path, paths: list[str], keep: bool, percentages: Sequence[float]) -> None:
    """Bring the entries of a folder's rasters up to date, in memory and in its file."""

    def stale(paths: list[str]) -> list[str]:
        return [path for path in paths if not _is_fresh(_known.get(path), path, percentages)]

    if not (todo := stale(paths)):
        return
    stored = _load(folder)
    _known.update({path: stored[Path(path).name] for path in todo if Path(path).name in stored})
    todo = stale(todo)
    done = {}
    shown = len(todo) > 1 and is_main_process()
    try:
        for path in track(todo, 'Range of the auxiliary rasters', disable=not shown):
            entry = _known.get(path)
            entry = dict(entry) if _is_fresh(entry, path) else _compute(path)
            if percentages:
                found = band_percentiles(path, percentages)
                kept = {f'{percentage:g}': values for percentage, values in found.items()}
                entry['percentiles'] = entry.get('percentiles', {}) | kept
            _known[path] = done[Path(path).name] = entry
    finally:  # an interrupted run goes on from here
        if done and keep and folder.is_dir():  # in an archive nothing is kept
            _store(folder, done)


def _fingerprint(path: str) -> dict[str, Any]:
    info = read_info(path)
    mtime_ns, size = identity(info.path)
    return {
        'size': size,
        'mtime_ns': mtime_ns,
        'nodata': [None if value is None else repr(value) for value in info.nodata],
        **({'unit': [[*info.scales], [*info.offsets]]} if info.scales else {}),
        **({'alpha': [*info.alpha]} if info.alpha else {}),
    }


def _is_fresh(entry: Any, path: str, percentages: Sequence[float] = ()) -> bool:
    """Whether an entry is of the raster as it is now, and knows the percentages."""
    if not isinstance(entry, dict):
        return False
    now = _fingerprint(path)
    known = entry.get('percentiles', {})
    stated = {key: entry[key] for key in (*now, 'unit', 'alpha') if key in entry}
    if stated != now or not isinstance(known, dict):
        return False
    limits = [known.get(f'{percentage:g}') for percentage in sorted(percentages)]
    info = read_info(path)
    return _are_limits(entry.get('min'), entry.get('max'), info) and all(
        _are_limits(low, high, info) for low, high in pairwise(limits)
    )


def _are_limits(low: Any, high: Any, info: RasterInfo) -> bool:
    """Whether stored values may be the limits of a raster's bands; both None where one has none."""
    count, floating = info.count, np.issubdtype(info.dtype, np.floating)
    if not all(isinstance(limit, list) and len(limit) == count for limit in (low, high)):
        return False
    most = FILL if floating else sys.float_info.max  # an integer of hundreds of digits is no number
    return all(
        pair == (None, None)
        or ({*map(type, pair)} <= {int, float} and -most <= pair[0] <= pair[1] <= most)
        for pair in zip(low, high, strict=True)
    )


def _compute(path: str) -> dict[str, Any]:
    low, high = _extremes(lambda: _read_chunks(path), read_info(path).count)
    return _fingerprint(path) | {'min': low, 'max': high}


def _limits(path: str, percentages: Sequence[float]) -> list[dict[int, float | None]]:
    """Low and high value of each band, by its number."""
    entry = _known[path]
    percentiles = [entry['percentiles'][f'{percentage:g}'] for percentage in percentages]
    limits = percentiles or (entry['min'], entry['max'])
    return [dict(enumerate(values, 1)) for values in limits]


def _scaling(
    name: str,
    bands: Sequence[int],
    aux_range: AuxRange,
    low: dict[int, float | None],
    high: dict[int, float | None],
) -> Scaling:
    """Scale by the limits of a raster's bands, or refuse those that nothing can be scaled by."""
    percentages = aux_range.percentages
    kind = 'all valid values' if percentages is None else f'its percentiles {tuple(percentages)}'
    if aux_range.optional:
        empty = [band for band in bands if low[band] is None]
        low, high = low | dict.fromkeys(empty, 0.0), high | dict.fromkeys(empty, 1.0)
    for band in bands:
        if low[band] is None:
            raise ValueError(
                f'{name} holds no valid value in band {band} (all of it is nodata, NaN or '
                'infinite): give the right file, or leave the tile out of the split.'
            )
        if low[band] == high[band]:
            raise ValueError(
                f'{name} is constant in band {band} ({kind} are {low[band]}) and cannot be '
                'scaled to 0..1: give the right file, leave the tile out of the split, or set '
                'aux_range to a pair (low, high).'
            )
    limits = (tuple(limit[band] for band in bands) for limit in (low, high))
    return Scaling(*limits, clip=percentages is not None)


def _load(folder: Path) -> dict[str, Any]:
    """A folder's stored entries; a file that is missing or corrupt holds none."""
    path = folder / STATISTICS_FILE
    try:
        if not path.is_file() or path.stat().st_size > MAX_STATISTICS:
            return {}
        stored = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError, RecursionError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _store(folder: Path, done: dict[str, Any]) -> None:
    """Add entries to a folder's file, keeping what another process has added meanwhile."""
    try:
        write_text(folder / STATISTICS_FILE, json.dumps(_load(folder) | done, indent=1))
    except OSError as error:
        _warn(str(error))


@cache  # once per folder
def _warn(said: str) -> None:
    print_log(
        f'{said} Until then the ranges of the auxiliary rasters are computed again in each run.',
        logger='current',
        level=logging.WARNING,
    )


def _read_chunks(path: str) -> Iterator[np.ndarray]:
    """Read all bands; complex ones are left NaN, and by alpha ones the others are masked."""
    info = read_info(path)
    real = [band for band in info.data_bands if 'complex' not in info.dtypes[band - 1]]
    groups = [real, *([band] for band in info.alpha)]
    for window in chunks(info):
        values = [read_window(path, bands, window, measured=True) for bands in groups if bands]
        if len(values) == 1 and len(real) == info.count:
            yield values[0]
            continue
        shown = [band - 1 for bands in groups for band in bands]
        every = np.full((window.height, window.width, info.count), np.nan)
        every[..., shown] = np.concatenate(values, axis=-1)
        yield every


def _extremes(read_chunks: Chunks, count: int) -> tuple[Values, Values]:
    """The least and the greatest value of each band."""
    low, high = np.full(count, np.nan), np.full(count, np.nan)
    for values in read_chunks():
        low = np.fmin(low, np.fmin.reduce(values, axis=(0, 1)))
        high = np.fmax(high, np.fmax.reduce(values, axis=(0, 1)))
    return tuple([None if math.isnan(v) else float(v) for v in limit] for limit in (low, high))


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


def _keys_of_bands(values: np.ndarray) -> list[np.ndarray]:
    """Each band's finite values of (h, w, C) as uint32 keys that count up with the value."""
    return [_keys(values[..., band]) for band in range(values.shape[-1])]


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
