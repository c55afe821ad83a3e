"""Says what trains, what is frozen, and what a training takes."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn

from mobanet_mmseg.engine.complexity import add_counts, count_parameters, parameter_table
from mobanet_mmseg.engine.memory import estimate_step_memory
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.tiled import segmentor_of

SHORT = 100  # iterations of a training that is not worth the seconds of an estimate
WARM_UP = 5  # iterations that the first kernels and worker processes slow down
TIMED = 15


@HOOKS.register_module()
class TrainableParametersHook(Hook):
    """Logs what trains, what is frozen and from which file, and what the training will take.

    The memory of a step is estimated before the first one, which takes a few seconds, in trainings
    of 100 iterations or more; the time of the whole is told once 20 have run.
    """

    priority = 'LOW'  # after the iteration was timed

    def __init__(self) -> None:
        self.iterations = 0

    def before_train(self, runner: Runner) -> None:
        """Log the parameters part by part, the frozen encoders, and the memory of a step."""
        self.iterations = 0
        if not is_main_process():
            return
        model = segmentor_of(runner.model)
        parts = count_parameters(model)
        everything = add_counts(parts)
        lines = [
            f'\n{parameter_table(parts)}',
            f'Trainable parameters: {everything.trainable:,} '
            f'({everything.trainable / 1e6:.2f} M of {everything.total / 1e6:.1f} M)',
            *describe_frozen(model),
        ]
        runner.logger.info('\n'.join(lines))
        if runner.max_iters >= SHORT:
            _report_memory(runner)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Log how long the training will take, once, after the first iterations.

        Args:
            runner: Of the training.
            batch_idx: Number of the batch in its epoch.
            data_batch: The batch.
            outputs: Its losses.
        """
        self.iterations += 1
        times, loading = (
            runner.message_hub.log_scalars.get(f'train/{name}') for name in ('time', 'data_time')
        )
        left = runner.max_iters - runner.iter - 1
        if self.iterations != WARM_UP + TIMED or times is None or left <= 0:
            return
        seconds = times.mean(TIMED)
        runner.logger.info(
            f'An iteration takes {seconds:.2f} s, of which {loading.mean(TIMED):.2f} s wait for '
            f'windows: {left:,} iterations are left, '
            f'{timedelta(seconds=round(left * seconds))} without validations.'
        )


def describe_frozen(model: nn.Module) -> Iterator[str]:
    """Say which encoders of a model are frozen, and what their weights are.

    Args:
        model: A segmentor.
    """
    for name, encoder in model.named_modules():
        if not isinstance(encoder, Encoder) or any(p.requires_grad for p in encoder.parameters()):
            continue
        count = sum(parameter.numel() for parameter in encoder.parameters())
        weights = 'random weights'
        if encoder.weights_given:
            file = (encoder.pretrained or {}).get('checkpoint', 'a checkpoint')
            weights = f'the weights of {file} ({encoder.licence})'
        yield (
            f'Frozen: {name}, a {type(encoder).__name__} of {encoder.num_blocks} blocks, '
            f'{encoder.embed_dims} channels and patches of {encoder.patch_size} pixels, '
            f'{count / 1e6:.1f} M parameters, with {weights}'
        )


def _report_memory(runner: Runner) -> None:
    """Log what a step takes, and warn where the GPU has less."""
    needed = estimate_step_memory(runner.cfg)
    if needed is None:
        return
    size = runner.cfg.train_dataloader.batch_size
    device = next(runner.model.parameters()).device
    text = f'A training step on a batch of {size} takes about {needed / 2**30:.2f} GiB (estimated)'
    if device.type != 'cuda':
        runner.logger.info(f'{text}.')
        return
    there = torch.cuda.get_device_properties(device).total_memory
    text += f', and the GPU has {there / 2**30:.2f} GiB'
    if needed <= there:
        runner.logger.info(f'{text}.')
        return
    runner.logger.log(
        logging.WARNING,
        f'{text}: set model.backbone.with_cp=True, take --amp, or halve '
        'train_dataloader.batch_size and set optim_wrapper.accumulative_counts=2.',
    )
