"""Forks of a process that has imported the stack, which takes longer than what they do."""

import multiprocessing
import os
import socket
from collections.abc import Callable

import torch


def in_child(work: Callable[[], object]) -> multiprocessing.Process:
    """Start a function in a fork of this process: killing it kills what really runs."""
    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    return process


def in_ranks(count: int, work: Callable[[], object]) -> list[int]:
    """Do some work in that many forks, whose environment is torchrun's; gives their exit codes."""
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        port = found.getsockname()[1]

    def work_as(rank: int) -> None:
        os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=f'{port}', WORLD_SIZE=f'{count}')
        os.environ.update(RANK=f'{rank}', LOCAL_RANK=f'{rank}')
        torch.set_num_threads(1)
        work()

    children = [in_child(lambda rank=rank: work_as(rank)) for rank in range(count)]
    for child in children:
        child.join()
    return [child.exitcode for child in children]
