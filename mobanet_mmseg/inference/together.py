"""Predicts one raster in several processes, which share its strips; the first one joins them."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from mmengine.dist import get_rank, get_world_size
from mmseg.models import EncoderDecoder
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from mobanet_mmseg.inference.maps import MapPaths
from mobanet_mmseg.inference.network import Maps
from mobanet_mmseg.inference.predict import (
    Advance,
    Settings,
    Source,
    plan_raster,
    predict_raster,
    predict_rows,
    write_rows,
)
from mobanet_mmseg.inference.ranks import agreed, failing_together
from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.rasters.files import gdal_settings
from mobanet_mmseg.tiling.windows import PixelSpan, by_block, share_strips
from mobanet_mmseg.writing import prepare_place, reporting

ROWS_AT_ONCE = 512  # rows that are copied at a time when the shares are joined


@contextmanager
def opened_together(open_pair: Callable[[Any], PairReader], aux_range: Any) -> Iterator[PairReader]:
    """Open a pair of rasters in all processes; the first one finds the auxiliary range for all.

    Args:
        open_pair: Opens the pair with a range.
        aux_range: Range as it was asked for.

    Yields:
        This process's reader, which is closed at the end of the block.

    Raises:
        OtherRankError: If another process could not open it.
    """
    pair = None
    try:
        with failing_together():
            if get_rank() == 0:
                pair = open_pair(aux_range)
        found = agreed(None if pair is None else pair.aux_range)
        with failing_together():
            if pair is None:
                pair = open_pair(found)
        yield pair
    finally:
        if pair is not None:
            pair.close()


def predict_raster_together(
    model: EncoderDecoder,
    source: Source,
    paths: MapPaths,
    settings: Settings,
    advance: Advance = lambda rows, total: None,
) -> np.ndarray:
    """Predict one raster in all processes, byte for byte as in one.

    Each predicts its strips into hidden files beside the goal, on a disk that all can reach; the
    first one joins them.

    Args:
        model: The same segmentor in each process.
        source: The same raster.
        paths: What to write, and where.
        settings: How to; the first process's count.
        advance: Told how many rows this process has predicted since its last call, and how many
            it answers for.

    Returns:
        (256,) number of pixels of each label; in the other processes, those of their share.

    Raises:
        OSError: If a file cannot be written.
        OtherRankError: If another process failed.
        ValueError: If a raster is damaged, or its bands do not fit the model.
    """
    rank, world_size = get_rank(), get_world_size()
    if world_size == 1:
        return predict_raster(model, source, paths, settings, advance)
    settings = agreed(settings)  # a batch size of one's own would make strips of one's own
    info, legend = source.info, model.dataset_meta
    strips = plan_raster(model, source, settings)
    bands = [(block[0].done.col, block[0].done.right) for block in by_block(strips)]
    shares = [share_strips(strips, each, world_size) for each in range(world_size)]
    parts = [_part(paths, each) for each in range(world_size)]
    heights = [sum(strip.done.height for strip in own if strip.done.col == 0) for own in shares]
    try:
        _check_place(paths, parts)
        counts = np.zeros(256, np.int64)
        with failing_together():
            if heights[rank]:
                rows = predict_rows(model, source, settings, shares[rank], **paths.wanted)
                part_info = replace(info, height=heights[rank])
                counts = write_rows(rows, parts[rank], part_info, legend, advance)
        with failing_together():
            if rank == 0:
                counts = write_rows(_joined(parts, heights, bands), paths, info, legend)
    finally:
        for path in _files(parts[rank]):
            with suppress(OSError):  # what stays is hidden
                path.unlink(missing_ok=True)
    return counts


def _check_place(paths: MapPaths, parts: Sequence[MapPaths]) -> None:
    """Find out before the work whether its end can be written, and the shares be joined."""
    with failing_together():
        for path in _files(paths):
            prepare_place(path)
        mine = parts[get_rank()].labels
        with reporting(mine):
            mine.touch()
    with failing_together():
        # the first process looks, as it has not before: network disks remember what was not there
        for rank, part in enumerate(parts if get_rank() == 0 else ()):
            if not part.labels.exists():
                raise ValueError(
                    f'{part.labels} was made by process {rank}, but process 0 does not see it: '
                    'choose an output folder on a disk that all machines share.'
                )


def _part(paths: MapPaths, rank: int) -> MapPaths:
    """Where a process puts its share."""

    def beside(path: Path | None) -> Path | None:
        return None if path is None else path.with_name(f'.{path.name}.rank{rank}.part')

    return MapPaths(beside(paths.labels), beside(paths.probabilities), beside(paths.confidence))


def _files(paths: MapPaths) -> list[Path]:
    every = (paths.labels, paths.probabilities, paths.confidence)
    return [path for path in every if path is not None]


def _joined(
    parts: Sequence[MapPaths], heights: Sequence[int], bands: Sequence[PixelSpan]
) -> Iterator[Maps]:
    """Read the shares again as one process writes: band by band, from the top."""
    for left, right in bands:
        for part, height in zip(parts, heights, strict=True):
            for row in range(0, height, ROWS_AT_ONCE):
                window = Window(left, row, right - left, min(ROWS_AT_ONCE, height - row))
                yield Maps(
                    _read(part.labels, window)[0],
                    None if part.probabilities is None else _read(part.probabilities, window),
                    None if part.confidence is None else _read(part.confidence, window)[0],
                    column=left,
                )


def _read(path: Path, window: Window) -> np.ndarray:
    with warnings.catch_warnings(), gdal_settings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            return raster.read(window=window)
