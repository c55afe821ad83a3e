"""Makes a resumed training the uninterrupted one, draw by draw."""

import logging

import torch
from mmengine.dataset import DefaultSampler
from mmengine.device import get_device
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmseg.registry import HOOKS

from mobanet_mmseg.datasets.randomness import derive_seed, seed_generators
from mobanet_mmseg.engine.samplers import RandomWindowSampler


@HOOKS.register_module()
class RandomnessHook(Hook):
    """Lets all that a training draws follow from its seed and the epoch, iteration or window.

    The generators of Python, NumPy and torch (those of the GPUs, too) are seeded anew before each
    epoch and each iteration, and a window's before it is loaded, by ``RandomWindowSampler``. So
    nothing of their state has to be stored: a training that resumes, from any checkpoint, goes on
    bit for bit as if it had not stopped, where its device computes alike each time; validation and
    the number of workers change nothing. A checkpoint from the middle of an epoch goes on there.

    Gradients that are accumulated over several iterations are lost if it stops between them, and
    samplers other than ``RandomWindowSampler`` begin a stopped epoch anew.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Give the sampler the seed that the checkpoint was trained with."""
        sampler, randomness = runner.train_dataloader.sampler, runner.cfg.get('randomness') or {}
        own_seed = 'seed' in runner.cfg.train_dataloader.sampler
        if own_seed or randomness.get('diff_rank_seed'):
            return
        if isinstance(sampler, RandomWindowSampler | DefaultSampler):
            sampler.seed = runner.seed

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the generators, and leave out the windows that were trained on before a stop."""
        _seed(runner, 0, runner.epoch)
        loader = runner.train_dataloader
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return  # this loop leaves them out by itself
        windows = isinstance(loader.sampler, RandomWindowSampler)
        if windows:
            loader.sampler.first = 0
        done = runner.iter - runner.epoch * len(loader)
        if done > 0 and windows and loader.batch_size is not None:
            loader.sampler.first = done * loader.batch_size
        elif done > 0:
            runner.logger.log(
                logging.WARNING,
                f'The checkpoint is of iteration {done} of an epoch, and '
                f'{type(loader.sampler).__name__} begins the epoch anew: save checkpoints by '
                'epoch (by_epoch=True), or draw by RandomWindowSampler.',
            )

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Seed the generators.

        Args:
            runner: Of the training.
            batch_idx: Number of the batch in its epoch.
            data_batch: The batch.
        """
        _seed(runner, 1, runner.iter)


def _seed(runner: Runner, kind: int, number: int) -> None:
    seed = derive_seed(runner.seed, get_rank(), kind, number)
    seed_generators(seed)
    if get_device() != 'cpu':
        torch.manual_seed(seed)
