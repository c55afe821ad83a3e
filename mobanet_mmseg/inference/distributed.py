"""Prediction in the processes of a launcher, which share the work and end together.

Of many rasters each process takes some, whole; one raster is shared by its strips: each process
writes its share into hidden files, and the first one joins them, byte for byte as one would write.

Each collective call is reached by all processes or by none: what may fail in one of them alone
stands in a block of ``failing_together``.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
import torch
from mmengine.dist import get_rank, get_world_size, init_dist
from rasterio.errors import NotGeoreferencedWarning
from torch import distributed

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.inference.maps import MapPaths, Maps, count_labels, map_paths, write_maps
from mobanet_mmseg.inference.pair_inferencer import PairInferencer
from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.launchers import check_launcher
from mobanet_mmseg.rasters.files import RasterInfo, gdal_settings
from mobanet_mmseg.rasters.sources import check_alike
from mobanet_mmseg.tiling.windows import Strip, Window, by_block, share_strips
from mobanet_mmseg.writing import prepare_place, reporting

ROWS_AT_ONCE = 512  # rows that are copied at a time when the shares are joined

# processes wait for the slowest one's share, or rasters, far longer than torch's 30 minutes; one
# that has died is found at once, as its connections close
PATIENCE = timedelta(days=7)

Item = TypeVar('Item')


class OtherProcessError(RuntimeError):
    """Another process has failed, and says why."""


class LostProcessError(RuntimeError):
    """Another process has ended without saying why."""


def start_processes(launcher: str) -> None:
    """Join the processes that a launcher has started; only sentences are exchanged between them.

    Each process of a machine gets a GPU of its own as its current device, as far as there are some.

    Args:
        launcher: ``'none'``, ``'pytorch'`` (torchrun, with or without GPUs), ``'slurm'`` or
            ``'mpi'`` (both by MMEngine, which needs a GPU per process).

    Raises:
        ValueError: If another launcher, or none, has started this process, or it lacks a GPU.
    """
    check_launcher(launcher)
    if launcher == 'none':
        return
    gpus = torch.cuda.device_count()
    if launcher == 'pytorch':  # not by MMEngine, which would ask for a GPU here, too
        if gpus:
            torch.cuda.set_device(int(os.environ.get('LOCAL_RANK', 0)) % gpus)
        distributed.init_process_group('gloo', timeout=PATIENCE)
    elif not gpus:
        raise ValueError(
            f'--launcher {launcher} is for GPUs, and torch sees none: start torchrun on each '
            'machine, with --launcher pytorch.'
        )
    else:
        init_dist(launcher, backend='gloo', timeout=PATIENCE.total_seconds())


def end_processes() -> None:
    """Part from the other processes, once all have come here."""
    if distributed.is_initialized():
        distributed.barrier()  # a launcher ends all processes as soon as one has failed
        distributed.destroy_process_group()


def share_items(items: Sequence[Item]) -> tuple[Sequence[Item], bool]:
    """Choose what this process works on: some items, or all of them with the others.

    Args:
        items: The same list in each process.

    Returns:
        Every n-th item and False where there is at least one for each of n processes; otherwise all
        items and True: the processes share each of them.
    """
    shared = len(items) < get_world_size()
    return (items if shared else items[get_rank() :: get_world_size()]), shared


def agreed(value: Item) -> Item:
    """The first process's value.

    Args:
        value: This process's.
    """
    values = [value]
    if get_world_size() > 1:
        with _in_touch():
            distributed.broadcast_object_list(values)
    return values[0]


def gathered(values: list[Item]) -> list[Item]:
    """The values of all processes.

    Args:
        values: This process's.
    """
    return [value for each in _exchanged(values) for value in each]


@contextmanager
def failing_together() -> Iterator[None]:
    """Let no process wait for one that has failed in this block.

    Raises:
        LostProcessError: If another process has ended.
        OtherProcessError: If another process failed; of several, the first one raises its error.
    """
    error = None
    try:
        yield
    except Exception as raised:  # raised again, once the others know
        error = raised
    for rank, sentence in enumerate(_exchanged(None if error is None else str(error))):
        if sentence is not None and rank == get_rank():
            raise error
        if sentence is not None:
            raise OtherProcessError(f'process {rank} has failed: {sentence}') from error


def _exchanged(value: Item) -> list[Item]:
    """One value of each process, by rank."""
    every = [value] * get_world_size()
    if get_world_size() > 1:
        with _in_touch():
            distributed.all_gather_object(every, value)
    return every


@contextmanager
def _in_touch() -> Iterator[None]:
    """Say in words that a connection has closed."""
    try:
        yield
    except RuntimeError as error:
        raise LostProcessError(
            f'Another process has ended ({error}): look for its message, or for a lack of memory.'
        ) from error


@contextmanager
def open_shared(
    inferencer: PairInferencer, rgb: str | Path, aux: str | Path | None, aux_range: Any
) -> Iterator[PairReader]:
    """Open a pair of rasters in all processes; the first one finds the auxiliary range for all.

    Args:
        inferencer: Opens the pair.
        rgb: Optical raster.
        aux: Auxiliary raster, or None.
        aux_range: As for a call of the inferencer.

    Yields:
        This process's reader, which is closed at the end of the block.

    Raises:
        OtherProcessError: If another process could not open it.
    """
    source = None
    try:
        with failing_together():
            if get_rank() == 0:
                source = inferencer.open_pair(rgb, aux, aux_range)
        found = agreed(None if source is None else (source.scaling, source.stamps))
        with failing_together():
            if source is None:
                source = inferencer.open_pair(rgb, aux, found[0])
                check_alike(source.stamps, found[1])
        yield source
    finally:
        if source is not None:
            source.close()


def own_strips(strips: Sequence[Strip]) -> list[Strip]:
    """Take this process's share of a raster's strips.

    Args:
        strips: All of them, the same in each process.
    """
    return share_strips(strips, get_rank(), get_world_size())


def write_shared(
    rows: Iterator[Maps],
    strips: Sequence[Strip],
    paths: MapPaths,
    info: RasterInfo,
    classes: Classes,
) -> Iterator[Maps]:
    """Write one raster's maps in all processes, byte for byte as one would write them.

    Each writes its rows into hidden files beside the output path, on a disk that all can reach; the
    first one joins them.

    Args:
        rows: The maps of this process's strips.
        strips: All strips of the raster.
        paths: What to write, and where; tried before the first rows are asked for.
        info: Size and place of the raster.
        classes: The classes of the labels.

    Yields:
        What ``rows`` gives, as it is written.

    Raises:
        OSError: If a file cannot be written.
        OtherProcessError: If another process failed.
        ValueError: If the processes write to different disks.
    """
    rank, world_size = get_rank(), get_world_size()
    parts = [_part(paths, each) for each in range(world_size)]
    shares = [share_strips(strips, each, world_size) for each in range(world_size)]
    heights = [sum(strip.done.height for strip in own if strip.done.col == 0) for own in shares]
    try:
        _check_place(paths, parts)
        with failing_together():
            if heights[rank]:
                part_info = replace(info, height=heights[rank])
                yield from write_maps(rows, parts[rank], part_info, classes)
        with failing_together():
            if rank == 0:
                blocks = [(block[0].done.col, block[0].done.width) for block in by_block(strips)]
                count_labels(write_maps(_joined(parts, heights, blocks), paths, info, classes))
    finally:
        for path in parts[rank].files:
            with suppress(OSError):  # what stays is hidden
                path.unlink(missing_ok=True)


def predict_file_shared(
    inferencer: PairInferencer,
    rgb: str | Path,
    aux: str | Path | None,
    out: str | Path,
    *,
    aux_range: Any = 'config',
    **wanted: bool,
) -> np.ndarray:
    """Predict a pair of files in all processes, as ``inferencer.predict_file`` does in one.

    All processes make this call.

    Args:
        inferencer: The same model in each process; the first one's batch size counts.
        rgb: Optical raster.
        aux: Auxiliary raster, or None.
        out: Label map to write; tried before anything is predicted.
        aux_range: As for a call of the inferencer.
        **wanted: ``probabilities``, ``confidence`` and ``cog``, as there.

    Returns:
        (256,) number of pixels of each label; the last is nodata's.

    Raises:
        OSError: If a file cannot be written.
        OtherProcessError: If another process failed.
        ValueError: If the rasters do not fit each other or the model.
    """
    inferencer.tiling = agreed(inferencer.tiling)  # other batches would make other strips
    with failing_together():
        paths = map_paths(out, (rgb, aux, *inferencer.files), **wanted)
    with open_shared(inferencer, rgb, aux, aux_range) as source:
        strips = inferencer.plan(source)
        rows = inferencer.predict_rows(source, own_strips(strips), **paths.wanted)
        rows = write_shared(rows, strips, paths, source.info, inferencer.classes)
        return sum(gathered([count_labels(rows)]))


def _check_place(paths: MapPaths, parts: Sequence[MapPaths]) -> None:
    """Find out before the work whether its end can be written, and the shares be joined."""
    with failing_together():
        for path in paths.files:
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
    every = paths.labels, paths.probabilities, paths.confidence
    return MapPaths(*(path and path.with_name(f'.{path.name}.rank{rank}.part') for path in every))


def _joined(
    parts: Sequence[MapPaths], heights: Sequence[int], blocks: Sequence[tuple[int, int]]
) -> Iterator[Maps]:
    """Read the shares again as one process writes: column block by column block, from the top."""
    for left, width in blocks:
        top = 0
        for part, height in zip(parts, heights, strict=True):
            for row in range(0, height, ROWS_AT_ONCE):
                window = Window(row, left, min(ROWS_AT_ONCE, height - row), width)
                labels, probabilities, confidence = (
                    None if path is None else _read(path, window)
                    for path in (part.labels, part.probabilities, part.confidence)
                )
                place = window._replace(row=top + row)
                yield Maps(
                    place, labels[0], probabilities, None if confidence is None else confidence[0]
                )
            top += height


def _read(path: Path, window: Window) -> np.ndarray:
    """Read (bands, h, w) pixels of a share."""
    with warnings.catch_warnings(), gdal_settings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            return raster.read(window=((window.row, window.bottom), (window.col, window.right)))
