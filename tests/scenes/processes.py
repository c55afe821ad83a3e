"""Forks of a process that has imported the stack, which takes longer than what they do.

As a script it runs a file of tools/ in several of them, as torchrun does:

PYTHONPATH=.:tests python tests/scenes/processes.py COUNT TOOL ARGUMENTS...
"""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable

import mmengine.config.config
import torch
from pytest import MonkeyPatch
from scenes.commands import run_tool

import mobanet_mmseg  # noqa: F401  (imported once, not in each fork)


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


def train(tool: str, *arguments: str) -> None:
    """Run a tool in a process group of gloo: MMEngine's launcher takes a GPU for granted."""
    torch.distributed.init_process_group('gloo')
    run_tool(MonkeyPatch(), tool, *arguments)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    # the runner lays its config out for each file, which takes longer than a toy's training
    mmengine.config.config.FormatCode = lambda text, **options: (text, True)
    sys.exit(max(map(abs, in_ranks(int(sys.argv[1]), lambda: train(*sys.argv[2:])))))
