"""Stops a run whose numbers are not finite, before they spoil checkpoints or count as classes."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor

from mobanet_mmseg.datasets.multimodal import shown
from mobanet_mmseg.models.tiled import segmentor_of
from mobanet_mmseg.tiling.sliding_window import find_not_finite
from mobanet_mmseg.tiling.windows import describe_place
from mobanet_mmseg.weights.newest import last_checkpoint


@HOOKS.register_module()
class FiniteHook(Hook):
    """Stops a training whose loss, gradient norm or weights are NaN or infinite, and a test, too.

    The loss is looked at in every iteration, where MMEngine has it as a number already, and what
    is saved before it is written: no checkpoint that is saved holds such a number. With loss
    scaling (AMP), infinite gradients belong to the search for the scale and stop nothing. In
    validations and tests the logits are looked at, for NaN is no class.
    """

    priority = 'LOW'  # after the log has the loss, before a checkpoint is saved

    def __init__(self) -> None:
        self.batch: dict[str, Any] = {}
        self.infinite: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Note which buffers are meant to hold infinite numbers, such as masks of attention."""
        buffers = segmentor_of(runner.model).named_buffers()
        self.infinite = {name for name, value in buffers if not _finite(value)}

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Look at the loss, and at the norm of the gradients where they are clipped.

        Args:
            runner: Of the training.
            batch_idx: Number of the batch in its epoch.
            data_batch: The batch.
            outputs: Its losses.

        Raises:
            FloatingPointError: If one of them is not finite.
        """
        self.batch = data_batch or {}
        names = [name for name in outputs or {} if 'loss' in name]
        if not _scales_loss(runner.optim_wrapper):
            names.append('grad_norm')
        found = {name: runner.message_hub.log_scalars.get(f'train/{name}') for name in names}
        wrong = [
            f'{name} is {history.current()}'
            for name, history in found.items()
            if history is not None and not math.isfinite(history.current())
        ]
        if wrong:
            self._stop(runner, f'In iteration {runner.iter + 1}, {", ".join(wrong)}')

    def _after_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
        mode: str = 'train',
    ) -> None:
        """Look at the logits of a validation or test batch; MMEngine calls it after each."""
        for sample in outputs or () if mode != 'train' else ():
            if 'seg_logits' not in sample:  # MMSeg's SegTTAModel keeps none
                continue
            spoilt = find_not_finite(sample.seg_logits.data)
            if spoilt is None:
                continue
            rate = ', or lower the learning rate' if mode == 'val' else ''
            raise FloatingPointError(
                f'{sample.img_path} gets logits that are not finite (NaN or infinite) in '
                f'{describe_place(spoilt)}: look at what its rasters hold there{rate}.'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Look at everything that is about to be saved.

        Args:
            runner: Of the training.
            checkpoint: What is saved.

        Raises:
            FloatingPointError: If a weight or the state of the optimizer is not finite.
        """
        for part in ('state_dict', 'ema_state_dict', 'optimizer'):
            for name, value in _tensors(checkpoint.get(part, {})):
                if name.removeprefix('module.') not in self.infinite and not _finite(value):
                    what = f'{part}, {name}, holds numbers that are not finite'
                    self._stop(runner, f'After iteration {runner.iter}, {what}')

    def _stop(self, runner: Runner, what: str) -> None:
        last = last_checkpoint(Path(runner.work_dir))
        kept = f'{last} is the last good checkpoint' if last else 'there is no checkpoint yet'
        raise FloatingPointError(
            f'{what}; the last batch was of {_describe(self.batch)}. The training stops, {kept}: '
            'look at these files with tools/misc/check_data.py, or lower the learning rate.'
        )


def _describe(batch: dict[str, Any]) -> str:
    """Name the files of a batch; only those whose values are not finite where there are any."""
    samples, inputs = batch.get('data_samples', ()), batch.get('inputs', ())
    peaks = {}
    for sample, image in zip(samples, inputs, strict=True):
        path = str(sample.metainfo.get('img_path'))
        peak = float(image.abs().max())
        peaks[path] = max(peak, peaks.get(path, 0.0), key=lambda value: (value != value, value))
    wrong = [path for path, peak in peaks.items() if not math.isfinite(peak)]
    if wrong:
        return f'{shown(wrong)}, which hold values that are not finite'
    largest = max(peaks, key=peaks.get, default='unnamed files')
    return f'{shown(list(peaks))} (largest value: {peaks.get(largest)}, in {largest})'


def _finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def _tensors(value: Any, name: str = '') -> Iterator[tuple[str, Tensor]]:
    """Walk the tensors of nested dicts and lists, with their names."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict | list | tuple):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(item, f'{name}.{key}' if name else str(key))


def _scales_loss(optim_wrapper: OptimWrapper | OptimWrapperDict) -> bool:
    if isinstance(optim_wrapper, OptimWrapperDict):
        return any(isinstance(part, AmpOptimWrapper) for part in optim_wrapper.values())
    return isinstance(optim_wrapper, AmpOptimWrapper)
