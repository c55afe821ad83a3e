"""Processes that train together: forks of this one, joined by gloo."""

import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.registry import init_default_scope
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

DDP = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)  # of a CPU


def in_processes(function: Callable[[], Any], count: int = 2) -> list[Any]:
    """What a function gives in each of some processes; an error of one is raised here."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = (function, Path(folder), count)
        torch.multiprocessing.start_processes(_work, arguments, count, start_method='fork')
        return [torch.load(Path(folder, f'{rank}.pt')) for rank in range(count)]


def _work(rank: int, function: Callable[[], Any], folder: Path, count: int) -> None:
    torch.set_num_threads(1)
    init_default_scope('mmseg')
    os.environ['LOCAL_RANK'] = str(rank)
    distributed.init_process_group(
        'gloo',
        init_method=f'file://{folder}/meeting',
        rank=rank,
        world_size=count,
        timeout=timedelta(seconds=60),
    )
    torch.save(function(), folder / f'{rank}.pt')
    distributed.barrier()
    distributed.destroy_process_group()


def synchronise_batch_norm() -> None:
    """Let SyncBatchNorm, which asks for a GPU, do in this process on the CPU what it does there."""
    nn.SyncBatchNorm.forward = _normalise
    DistributedDataParallel._passing_sync_batchnorm_handle = lambda *_: None


def _normalise(norm: nn.SyncBatchNorm, inputs: Tensor) -> Tensor:
    if not norm.training:
        parameters = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        return F.batch_norm(inputs, *parameters, eps=norm.eps)
    pixels, count = (0, 2, 3), distributed.get_world_size() * inputs[:, 0].numel()
    mean = all_reduce(inputs.sum(pixels, keepdim=True)) / count
    centred = inputs - mean
    variance = all_reduce(centred.square().sum(pixels, keepdim=True)) / count
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean.flatten(), norm.momentum)
        norm.running_var.lerp_(variance.flatten() * count / (count - 1), norm.momentum)
    weight, bias = norm.weight[:, None, None], norm.bias[:, None, None]
    return centred / (variance + norm.eps).sqrt() * weight + bias
