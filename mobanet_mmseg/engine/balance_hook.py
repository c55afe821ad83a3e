"""Says during a training how it weighs the two modalities."""

from collections.abc import Sequence
from types import EllipsisType
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook, LoggerHook
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor, nn
from torch.optim import Optimizer

from mobanet_mmseg.models.gates import GateWatch
from mobanet_mmseg.models.lora import QueryValueUpdate
from mobanet_mmseg.models.mobanet import STREAMS
from mobanet_mmseg.models.tiled import segmentor_of


class StreamWeight(NamedTuple):
    """A trained weight of one stream.

    Args:
        parameter: What holds it.
        half: Where it lies in there; all of it, or one row.
    """

    parameter: nn.Parameter
    half: int | EllipsisType = ...


@HOOKS.register_module()
class BalanceHook(Hook):
    """Logs the mean gate of each stage and the gradients of each stream's adapters.

    A line in the log, and scalars of the visualizer (TensorBoard): ``balance/gate_stage1`` ..., the
    mean over a training batch of G, the weight of rgb (1/2: both alike); and
    ``balance/grad_norm_rgb`` and ``..._aux``, the norm of the gradients with which the optimizer
    moves the weights of the backbone that belong to one stream alone (of CPIA those named ``_rgb``
    and ``_aux``, of LoRA each stream's matrices). A stream whose norm stays a small part of the
    other's is hardly learned from. Watched in the iterations that the log tells of, in their own
    forward and backward pass. A model with neither gates nor such weights is passed by in silence.

    Args:
        interval: Iterations from line to line; None is that of the ``LoggerHook``.
    """

    priority = 'LOW'  # after the line of the losses

    def __init__(self, interval: int | None = None) -> None:
        self.interval = interval
        self.adapters: dict[str, list[StreamWeight]] = {}
        self.norms: Tensor | None = None
        self.watch: GateWatch | None = None

    def before_train(self, runner: Runner) -> None:
        """Find the gates and the streams' weights, and be told of each step before it is done."""
        model = segmentor_of(runner.model)
        self.watch, self.adapters = GateWatch(model), stream_weights(model)
        if self.interval is None:
            logged = [h.interval for h in runner.hooks if isinstance(h, LoggerHook)]
            self.interval = logged[0] if logged else 0  # 0: never
        wrapper = runner.optim_wrapper
        wrappers = wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper]
        self.due = False
        for each in wrappers:
            each.optimizer.register_step_pre_hook(self._before_step)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict[str, Any] | None = None
    ) -> None:
        """Begin to watch, in an iteration that the log tells of."""
        self.due = self.every_n_inner_iters(batch_idx, self.interval)
        if self.due:
            self.norms = None
            self.watch.__enter__()

    def _before_step(self, optimizer: Optimizer, args: Sequence, kwargs: dict[str, Any]) -> None:
        """Take the norms of gradients, which are unscaled now and not yet gone; torch calls it."""
        if self.due and self.adapters:
            norms = [_norm(self.adapters[stream]) for stream in STREAMS]
            self.norms = torch.stack(norms)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict[str, Any] | None = None,
        outputs: dict[str, Any] | None = None,
    ) -> None:
        """Log what was watched.

        Args:
            runner: Of the training.
            batch_idx: Number of the batch in its epoch.
            data_batch: The batch.
            outputs: Its losses.
        """
        if not self.due:
            return
        self.watch.__exit__()
        scalars, said = {}, []
        if self.watch.gates:
            gates = torch.stack(
                [gate.weight.mean() for _, gate in sorted(self.watch.gates.items())]
            )
            all_reduce(gates, 'mean')
            scalars |= {f'balance/gate_stage{s}': float(gate) for s, gate in enumerate(gates, 1)}
            shown = ' '.join(f'{value:.3f}' for value in scalars.values())
            said.append(f'gate (weight of rgb) {shown} by stage')
        if self.norms is not None:
            norms = dict(zip(STREAMS, self.norms.tolist(), strict=True))
            scalars |= {f'balance/grad_norm_{stream}': norm for stream, norm in norms.items()}
            shown = ', '.join(f'{norm:.2e} {stream}' for stream, norm in norms.items())
            said.append(f"norm of the adapters' gradients {shown}")
        if said:
            runner.logger.info(f'Balance: {"; ".join(said)}')
            runner.visualizer.add_scalars(scalars, step=runner.iter + 1)


def stream_weights(model: nn.Module) -> dict[str, list[StreamWeight]]:
    """Find the trained weights of a backbone that belong to one stream alone.

    Args:
        model: A segmentor, not wrapped.

    Returns:
        Those under a part called ``rgb`` or ``..._rgb`` and those under one called ``aux`` or
        ``..._aux``, and each stream's half of LoRA's; nothing where one of the streams has none.
    """
    found: dict[str, list[StreamWeight]] = {stream: [] for stream in STREAMS}
    for name, parameter in model.backbone.named_parameters():
        ends = {part.rpartition('_')[2] for part in name.split('.')}
        for stream in ends.intersection(STREAMS):
            if parameter.requires_grad:
                found[stream].append(StreamWeight(parameter))
    for module in model.backbone.modules():
        if isinstance(module, QueryValueUpdate):
            for number, stream in enumerate(STREAMS):
                halves = (StreamWeight(each, number) for each in module.parameters())
                found[stream] += [half for half in halves if half.parameter.requires_grad]
    return found if all(found.values()) else {}


def _norm(weights: Sequence[StreamWeight]) -> Tensor:
    """Euclidean norm of gradients, 0 where there are none."""
    gradients = [(w.parameter.grad, w.half) for w in weights if w.parameter.grad is not None]
    norms = [gradient[half].detach().float().norm() for gradient, half in gradients]
    none = torch.zeros((), device=weights[0].parameter.device)
    return torch.stack(norms).norm() if norms else none
