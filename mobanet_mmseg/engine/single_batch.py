"""Finds a training batch of one sample, which batch norms may have no statistics of."""

import math
import os

from mmengine.config import Config
from torch.nn import SyncBatchNorm
from torch.nn.modules.batchnorm import _BatchNorm

from mobanet_mmseg.engine.complexity import (
    build_without_memory,
    run_without_memory,
    sample_shape,
)

PROCESSES = {'pytorch': 'WORLD_SIZE', 'slurm': 'SLURM_NTASKS', 'mpi': 'OMPI_COMM_WORLD_SIZE'}


def single_batch(config: Config, samples: int | None) -> str:
    """Say if a training of a config would end in its first or in an epoch's last batch.

    Args:
        config: With ``model`` and ``train_dataloader``.
        samples: Samples of an epoch; None where it has no end.

    Returns:
        A sentence that names the keys and what to set them to; empty where all is well.
    """
    loader = config.train_dataloader
    batch_size = loader.get('batch_size')
    processes = int(os.environ.get(PROCESSES.get(config.get('launcher'), ''), 1))
    if batch_size == 1:
        what, advice = 'train_dataloader.batch_size is 1', 'set it to 2 or more'
    else:
        if batch_size is None or samples is None or loader.get('drop_last'):
            return ''
        if math.ceil(samples / processes) % batch_size != 1:
            return ''
        each = f' in each of {processes} processes' if processes > 1 else ''
        more = math.ceil(samples / (processes * batch_size)) * processes * batch_size
        what = (
            f'An epoch of {samples} samples (sampler.num_samples) in batches of '
            f'train_dataloader.batch_size={batch_size}{each} ends in a batch of 1'
        )
        advice = f'draw {more} samples, or set train_dataloader.drop_last=True'
    if not _needs_two(config, processes):
        return ''
    return (
        f'{what}, of which a batch norm behind a pooling to 1 x 1 has no statistics: {advice}, or '
        "choose another norm_cfg, such as dict(type='GN', num_groups=32)."
    )


def _needs_two(config: Config, processes: int) -> bool:
    """Try whether a batch norm gets a single value per channel of one image, by its shapes."""
    sampler = config.train_dataloader.get('sampler', {})
    shape = sample_shape(config, sampler.get('window_size', config.get('crop_size')))
    if shape is None:
        return False
    together = SyncBatchNorm if processes > 1 else ()  # sees the other processes' images, too
    single = []
    try:
        model = build_without_memory(config)
        model.train()
        for norm in model.modules():
            if isinstance(norm, _BatchNorm) and norm.training and not isinstance(norm, together):
                norm.register_forward_pre_hook(
                    lambda _, inputs: single.append(inputs[0].numel() == inputs[0].shape[1])
                )
        run_without_memory(model, shape)
    except Exception:  # what is no whole model, or does not run in shapes alone, is not judged
        return False
    return any(single)
