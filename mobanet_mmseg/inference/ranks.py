"""The processes of a launcher, which share the work and end together.

Each collective call is reached by all processes or by none: what may fail in one of them alone
stands in a block of ``failing_together``.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from mmengine.dist import get_rank, get_world_size, init_dist
from torch import distributed

# processes wait for the slowest one's share, or rasters, far longer than torch's 30 minutes; one
# that has died is found at once, as its connections close
PATIENCE = timedelta(days=7)
# what each launcher says in the environment
LAUNCHERS = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'MASTER_ADDR'),
}

Item = TypeVar('Item')


class OtherRankError(RuntimeError):
    """Another process has failed, and says why."""


class LostRankError(RuntimeError):
    """Another process has ended without saying why."""


def start_ranks(launcher: str) -> None:
    """Join the processes that a launcher has started; only sentences are exchanged between them.

    Each process of a machine gets a GPU of its own as its current device, as far as there are some.

    Args:
        launcher: ``'none'``, ``'pytorch'`` (torchrun, with or without GPUs), ``'slurm'`` or
            ``'mpi'`` (both by MMEngine, which needs a GPU per process).

    Raises:
        ValueError: If another launcher, or none, has started this process, or it lacks a GPU.
    """
    if launcher == 'none':
        count = int(os.environ.get('WORLD_SIZE', 1))
        if count > 1 and distributed.is_torchelastic_launched():
            raise ValueError(
                f'torchrun has started {count} processes, each of which would do all the work: '
                'give --launcher pytorch.'
            )
        return
    missing = [name for name in LAUNCHERS[launcher] if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} finds no {", ".join(missing)} in the environment: start the '
            'processes with torchrun (pytorch), srun (slurm) or mpirun (mpi), or leave it out.'
        )
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


def end_ranks() -> None:
    """Part from the other processes, once all have come here."""
    if distributed.is_initialized():
        distributed.barrier()  # a launcher ends all processes as soon as one has failed
        distributed.destroy_process_group()


def own_device(device: str) -> str:
    """Name the device of this process.

    Args:
        device: ``'auto'`` for the current GPU if there is one.
    """
    if device != 'auto':
        return device
    return f'cuda:{torch.cuda.current_device()}' if torch.cuda.is_available() else 'cpu'


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
        LostRankError: If another process has ended.
        OtherRankError: If another process failed; of several, the first one raises its error.
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
            raise OtherRankError(f'process {rank} has failed: {sentence}') from error


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
        raise LostRankError(
            f'Another process has ended ({error}): look for its message, or for a lack of memory.'
        ) from error
