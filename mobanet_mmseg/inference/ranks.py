"""Predicts one raster in several processes, which share its strips; the first one joins them."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import rasterio
import torch
from mmengine.dist import get_rank, get_world_size, init_dist
from mmseg.models import EncoderDecoder
from rasterio.windows import Window
from torch import distributed

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
from mobanet_mmseg.inference.windows import share_strips

ROWS_AT_ONCE = 512  # rows that are copied at a time when the shares are joined

Item = TypeVar('Item')


class OtherRankError(RuntimeError):
    """Another process has failed, and says why."""


def start_ranks(launcher: str) -> None:
    """Join the processes that a launcher has started; only sentences are exchanged between them.

    Args:
        launcher: ``'none'``, ``'pytorch'`` (torchrun, with or without GPUs), ``'slurm'`` or
            ``'mpi'`` (both by MMEngine, which needs a GPU per process).
    """
    if launcher == 'pytorch':
        # MMEngine would ask for a GPU here
        distributed.init_process_group('gloo')
    elif launcher != 'none':
        init_dist(launcher, backend='gloo')


def end_ranks() -> None:
    """Part from the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def own_device(device: str) -> str:
    """Name the device of this process.

    Args:
        device: ``'auto'`` for a GPU if there is one, and for each process of a machine its own.
    """
    if device != 'auto':
        return device
    if not torch.cuda.is_available():
        return 'cpu'
    return f'cuda:{int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()}'


def share_items(items: Sequence[Item]) -> tuple[Sequence[Item], bool]:
    """Choose what this process works on: some items alone, or all of them with the others.

    Args:
        items: The same list in each process.

    Returns:
        Every n-th item and True where there is at least one for each of n processes; otherwise all
        items and False.
    """
    alone = len(items) >= get_world_size()
    return (items[get_rank() :: get_world_size()] if alone else items), alone


def agreed(value: Item) -> Item:
    """The first process's value.

    Args:
        value: This process's.
    """
    values = [value]
    if get_world_size() > 1:
        distributed.broadcast_object_list(values)
    return values[0]


def gathered(values: list[Item]) -> list[Item]:
    """The values of all processes.

    Args:
        values: This process's.
    """
    every = [values] * get_world_size()
    if get_world_size() > 1:
        distributed.all_gather_object(every, values)
    return [value for each in every for value in each]


@contextmanager
def failing_together() -> Iterator[None]:
    """Let no process wait for one that has failed in this block.

    Raises:
        OtherRankError: If another process failed.
    """
    error = None
    try:
        yield
    except Exception as raised:  # raised again, once the others know
        error = raised
    sentences = [None] * get_world_size()
    if get_world_size() > 1:
        distributed.all_gather_object(sentences, None if error is None else str(error))
    if error is not None:
        raise error
    for rank, sentence in enumerate(sentences):
        if sentence is not None:
            raise OtherRankError(f'process {rank} has failed: {sentence}')


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
        settings: The same settings.
        advance: Told how many rows this process has predicted since its last call, and how many
            it answers for.

    Returns:
        (256,) number of pixels of each label; in the other processes, those of their share.

    Raises:
        OSError: If a file cannot be written.
        OtherRankError: If another process failed.
        ValueError: If a raster is damaged, or its bands do not fit the model.
    """
    world_size = get_world_size()
    if world_size == 1:
        return predict_raster(model, source, paths, settings, advance)
    info, legend = source.info, model.dataset_meta
    strips = plan_raster(model, source, settings)
    shares = [share_strips(strips, rank, world_size) for rank in range(world_size)]
    parts = [_part(paths, rank) for rank in range(world_size)]
    own = shares[get_rank()]
    wanted = {
        'probabilities': paths.probabilities is not None,
        'confidence': paths.confidence is not None,
    }
    try:
        counts = np.zeros(256, np.int64)
        with failing_together():
            if own:
                rows = predict_rows(model, source, settings, own, **wanted)
                height = own[-1].done[1] - own[0].done[0]
                part_info = replace(info, height=height)
                counts = write_rows(rows, parts[get_rank()], part_info, legend, advance)
        with failing_together():
            if get_rank() == 0:
                done = [part for part, share in zip(parts, shares, strict=True) if share]
                counts = write_rows(_joined(done), paths, info, legend)
    finally:
        for path in _files(parts[get_rank()]):
            path.unlink(missing_ok=True)
    return counts


def _part(paths: MapPaths, rank: int) -> MapPaths:
    """Where a process puts its share."""

    def beside(path: Path | None) -> Path | None:
        return None if path is None else path.with_name(f'.{path.name}.rank{rank}.part')

    return MapPaths(beside(paths.labels), beside(paths.probabilities), beside(paths.confidence))


def _files(paths: MapPaths) -> list[Path]:
    every = (paths.labels, paths.probabilities, paths.confidence)
    return [path for path in every if path is not None]


def _joined(parts: Sequence[MapPaths]) -> Iterator[Maps]:
    """Read the shares again, from the top."""
    for part in parts:
        with rasterio.open(part.labels) as labels:
            height, width = labels.shape
        for row in range(0, height, ROWS_AT_ONCE):
            window = Window(0, row, width, min(ROWS_AT_ONCE, height - row))
            yield Maps(
                _read(part.labels, window)[0],
                None if part.probabilities is None else _read(part.probabilities, window),
                None if part.confidence is None else _read(part.confidence, window)[0],
            )


def _read(path: Path, window: Window) -> np.ndarray:
    with rasterio.open(path) as raster:
        return raster.read(window=window)
