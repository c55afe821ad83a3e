"""Ranges and percentiles of auxiliary rasters, computed once and kept beside the data."""

import json
import logging
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from rich.progress import track

from mobanet_mmseg.rasters.percentiles import band_percentiles
from mobanet_mmseg.rasters.windows import AuxRange, check_bands, read_info, read_window
from mobanet_mmseg.writing import write_text

STATISTICS_FILE = 'aux_statistics.json'
CHUNK_BYTES = 16_000_000

Percentiles = tuple[Literal['percentile'], float, float]

_known: dict[str, dict[str, Any]] = {}  # entries by path, for folders that cannot be written to
_unwritable: set[Path] = set()


class AuxStatistics(NamedTuple):
    """Range of one auxiliary raster; nodata, NaN and infinite values are left out.

    Args:
        low: Least value of each band, in the raster's unit.
        high: Greatest value of each band.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]


def aux_ranges(
    paths: Sequence[str],
    bands: Sequence[int],
    aux_range: str | Percentiles | AuxRange | None,
    keep: bool = True,
) -> list[AuxRange | None]:
    """Say for each auxiliary raster which values become 0 and 1.

    Args:
        paths: The rasters.
        bands: Numbers of the bands, counted from 1.
        aux_range: ``'tile'`` for each raster's own least and greatest value;
            ``('percentile', 1, 99)`` for its own percentiles, beyond which values are clipped; a
            pair ``(low, high)`` for one range of all, or ``(low, high, True)`` to clip what lies
            outside; None for no scaling.
        keep: See :func:`aux_statistics`.

    Returns:
        One ``(low, high)``, ``(low, high, True)`` where values are clipped, or None per raster.

    Raises:
        ValueError: If ``aux_range`` is none of these, or a raster has no range.
    """
    if aux_range == 'tile':
        return [tuple(statistics) for statistics in aux_statistics(paths, bands, keep)]
    if is_percentile(aux_range):
        ranges = aux_statistics(paths, bands, keep, aux_range[1:])
        return [(*statistics, True) for statistics in ranges]
    if aux_range is not None:
        if isinstance(aux_range, str) or not _is_pair(aux_range):
            raise ValueError(
                f"Got aux_range={aux_range!r}: give 'tile', a pair (low, high) in the unit of the "
                "auxiliary raster, ('percentile', 1, 99), or None."
            )
        aux_range = tuple(aux_range)
    return [aux_range] * len(paths)


def is_percentile(aux_range: Any) -> bool:
    """Whether a range is ``('percentile', low, high)``.

    Args:
        aux_range: As a dataset gets it.

    Raises:
        ValueError: If the percentages are not two of 0..100, the lesser first.
    """
    if isinstance(aux_range, str) or not isinstance(aux_range, Sequence):
        return False
    if not aux_range or aux_range[0] != 'percentile':
        return False
    if len(aux_range) != 3 or not 0 <= aux_range[1] < aux_range[2] <= 100:
        raise ValueError(
            f'Got aux_range={tuple(aux_range)!r}: give two percentages of 0..100, the lesser '
            "first: ('percentile', 1, 99)."
        )
    return True


def _is_pair(aux_range: Sequence[Any]) -> bool:
    if len(aux_range) == 3 and isinstance(aux_range[2], bool):  # whether to clip
        aux_range = aux_range[:2]
    numeric = all(np.issubdtype(np.asarray(limit).dtype, np.number) for limit in aux_range)
    return len(aux_range) == 2 and numeric and bool(np.all(np.less(*aux_range)))


def aux_statistics(
    paths: Sequence[str],
    bands: Sequence[int] = (1,),
    keep: bool = True,
    percentages: Sequence[float] = (),
) -> list[AuxStatistics]:
    """Find the range of each auxiliary raster, or the range between two of its percentiles.

    What is known is read from ``aux_statistics.json`` beside the rasters; the rest is computed
    block by block and added to that file. An entry holds as long as its raster's size, time and
    nodata value are the same. Percentiles are exact: see :func:`band_percentiles`.

    Args:
        paths: The rasters.
        bands: Numbers of the bands, counted from 1.
        keep: Add what is computed to the file beside the rasters.
        percentages: Percentages of the low and of the high value; none for the least and the
            greatest value.

    Raises:
        ValueError: If a band of a raster has no valid value, or only one.
    """
    paths = [os.fspath(path) for path in paths]
    for path in paths:
        check_bands(read_info(path), bands)
    by_folder: dict[Path, list[str]] = {}
    for path in paths:
        by_folder.setdefault(Path(path).parent, []).append(path)
    for folder, members in by_folder.items():
        _update(folder, members, keep, percentages)
    return [_range(path, bands, percentages) for path in paths]


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
        if done and keep:
            _store(folder, done)


def _fingerprint(path: str) -> dict[str, Any]:
    stat = Path(path).stat()
    nodata = [None if value is None else repr(value) for value in read_info(path).nodata]
    return {'size': stat.st_size, 'mtime_ns': stat.st_mtime_ns, 'nodata': nodata}


def _is_fresh(entry: Any, path: str, percentages: Sequence[float] = ()) -> bool:
    """Whether an entry is of the raster as it is now, and knows the percentages."""
    fingerprint = _fingerprint(path)
    if not isinstance(entry, dict) or any(entry.get(k) != v for k, v in fingerprint.items()):
        return False
    percentiles = entry.get('percentiles', {})
    if not isinstance(percentiles, dict):
        return False
    count = read_info(path).count
    needed = [entry.get(key) for key in ('min', 'max')]
    needed += [percentiles.get(f'{percentage:g}') for percentage in percentages]
    return all(
        isinstance(values, list)
        and len(values) == count
        and all(value is None or isinstance(value, float) for value in values)
        for values in needed
    )


def _compute(path: str) -> dict[str, Any]:
    info = read_info(path)
    rows = max(1, CHUNK_BYTES // (info.width * info.count * np.dtype(info.dtype).itemsize))
    windows = (
        (row, 0, min(rows, info.height - row), info.width) for row in range(0, info.height, rows)
    )
    bands = range(1, info.count + 1)
    chunks = (read_window(path, bands, window, nodata_to_nan=True) for window in windows)
    low, high = band_extremes(chunks, info.count)
    return _fingerprint(path) | {'min': low, 'max': high}


def band_extremes(
    chunks: Iterable[np.ndarray], count: int
) -> tuple[list[float | None], list[float | None]]:
    """Find the least and the greatest value of each band.

    Args:
        chunks: (h, w, count) values, NaN where there is no data.
        count: Number of bands.

    Returns:
        The least values and the greatest ones; None for a band without a value.
    """
    low = np.full(count, np.nan)
    high = low.copy()
    for values in chunks:
        low = np.fmin(low, np.fmin.reduce(values, axis=(0, 1)))
        high = np.fmax(high, np.fmax.reduce(values, axis=(0, 1)))
    return tuple([None if math.isnan(v) else float(v) for v in limit] for limit in (low, high))


def _range(path: str, bands: Sequence[int], percentages: Sequence[float]) -> AuxStatistics:
    entry = _known[path]
    lows, highs = (
        [entry['percentiles'][f'{percentage:g}'] for percentage in percentages]
        if percentages
        else (entry['min'], entry['max'])
    )
    low = [lows[band - 1] for band in bands]
    high = [highs[band - 1] for band in bands]
    return checked_range(path, bands, low, high, percentages)


def checked_range(
    path: str,
    bands: Sequence[int],
    low: Sequence[float | None],
    high: Sequence[float | None],
    percentages: Sequence[float] = (),
) -> AuxStatistics:
    """Give the range of a raster, or refuse one that nothing can be scaled by.

    Args:
        path: The raster, for the sentence.
        bands: Numbers of the bands, counted from 1.
        low: Least value of each of them, None where there is none.
        high: Greatest value of each.
        percentages: The percentages that the two are of; none for the least and the greatest.

    Raises:
        ValueError: If a band has no valid value, or only one.
    """
    kind = 'all valid values' if not percentages else f'its percentiles {tuple(percentages)}'
    for band, least, greatest in zip(bands, low, high, strict=True):
        if least is None:
            raise ValueError(
                f'{path} holds no valid value in band {band} (all of it is nodata, NaN or '
                'infinite): give the right file, or leave the tile out of the split.'
            )
        if least == greatest:
            raise ValueError(
                f'{path} is constant in band {band} ({kind} are {least}) and cannot be '
                'scaled to 0..1: give the right file, leave the tile out of the split, or set '
                'aux_range to a pair (low, high).'
            )
    return AuxStatistics(tuple(low), tuple(high))


def _load(folder: Path) -> dict[str, Any]:
    """A folder's stored entries; a file that is missing or corrupt holds none."""
    try:
        stored = json.loads((folder / STATISTICS_FILE).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _store(folder: Path, done: dict[str, Any]) -> None:
    """Add entries to a folder's file, keeping what another process has added meanwhile."""
    path = folder / STATISTICS_FILE
    try:
        write_text(path, json.dumps(_load(folder) | done, indent=1))
    except OSError as error:
        if folder not in _unwritable:
            _unwritable.add(folder)
            print_log(
                f'{path} cannot be written ({error.__cause__.strerror}): the ranges of the '
                'auxiliary rasters are computed again in each run; make the folder writable to '
                'keep them.',
                logger='current',
                level=logging.WARNING,
            )
