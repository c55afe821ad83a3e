"""Says what the auxiliary image is worth to a trained model, and warns where that is nothing."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, Runner
from mmseg.registry import HOOKS

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.models.data_preprocessor import select_modality

LEAST_GAIN = 0.1  # points of mIoU that a modality is worth at least, if it is of use
SCORE = 'mIoU'
CALLED = {'rgb': 'optical', 'aux': 'auxiliary'}


def idle_modality(both: Mapping[str, float], alone: Mapping[str, float], kept: str) -> str | None:
    """Say, in a sentence, that a model is no better with a modality than without it.

    Args:
        both: Metrics of the model with both modalities, in per cent.
        alone: Its metrics with one of them, the other being 0 after normalisation.
        kept: That one, ``'rgb'`` or ``'aux'``.

    Returns:
        None where the other one is worth something, or the metrics have no mIoU.
    """
    scores = [next((v for k, v in found.items() if _is_score(k)), None) for found in (both, alone)]
    if None in scores or scores[0] - scores[1] >= LEAST_GAIN:
        return None
    dropped = 'aux' if kept == 'rgb' else 'rgb'
    return (
        f'mIoU is {scores[0]:.2f} with both modalities and {scores[1]:.2f} with {kept} alone: the '
        f'model is no better with its {CALLED[dropped]} image than without. Look whether '
        f'{dropped} is read as it should be (tools/analysis_tools/browse_dataset.py), and train '
        f'with masks of {kept} (mcrm of the data_preprocessor), so that {dropped} has to be '
        'learned from.'
    )


@HOOKS.register_module()
class AuxGainHook(Hook):
    """Repeats a training's last validation with the optical image alone, and tells the difference.

    The auxiliary image is 0 after normalisation then. Where the model is no better with it than
    without, by less than 0.1 points of mIoU, a warning says so: nothing else in a log would. Models
    of one modality are passed by.

    Args:
        compare: Do so. It takes as long as one validation.
    """

    priority = 'HIGH'  # while averaged weights (EMA) are still those that are validated

    def __init__(self, compare: bool = True) -> None:
        self.compare = compare

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Compare, after the last validation of a training.

        Args:
            runner: Of the training.
            metrics: What the validation has measured.
        """
        training = isinstance(runner._train_loop, BaseLoop)  # to ask for iter would build one
        ended = training and runner.iter >= runner.max_iters
        names = [name for name in metrics or {} if _is_score(name)]
        channels = modality_channels_of(runner.val_dataloader.dataset)
        if not (self.compare and ended and names and channels and channels[1]):
            return
        writing = [m for m in runner.val_evaluator.metrics if getattr(m, 'output_dir', None)]
        before = select_modality(runner.model, 'both', channels)
        if before != 'both' or writing:  # what was written would be written over
            select_modality(runner.model, before)
            return
        runner.logger.info('The last validation once more, with rgb alone (aux is 0):')
        try:
            select_modality(runner.model, 'rgb')
            with _silenced(runner):
                alone = runner.val_loop.run()
        finally:
            select_modality(runner.model, 'both')
        gain = metrics[names[0]] - alone[names[0]]
        runner.logger.info(
            f'The auxiliary image is worth {gain:.2f} points of {names[0]}: '
            f'{metrics[names[0]]:.2f} with both, {alone[names[0]]:.2f} with rgb alone.'
        )
        warning = idle_modality(metrics, alone, 'rgb')
        if warning is not None:
            runner.logger.log(logging.WARNING, warning)


def _is_score(name: str) -> bool:
    """Whether a metric is the mIoU, perhaps with a prefix."""
    return name.rpartition('/')[2] == SCORE


@contextmanager
def _silenced(runner: Runner) -> Iterator[None]:
    """Run a loop without its hooks: they draw, log and save what a validation of its own gives."""
    hooks, runner._hooks = runner._hooks, []
    try:
        yield
    finally:
        runner._hooks = hooks
