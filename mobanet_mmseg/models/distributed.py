"""Losses of several processes are those of one process with the samples of all."""

from typing import Any

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.model import BaseModel
from mmseg.models.losses import CrossEntropyLoss
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor


class SharedLosses(BaseModel):
    r"""A segmentor whose losses, as they train and as they are logged, are those of all processes.

    The gradients of W processes are averaged. So a process divides the sum of its pixels' losses
    by the mean number n of pixels that count in one of them:

    .. math:: \frac{1}{W} \sum_w \frac{1}{n} \sum_{i \in w} \ell_i
        = \frac{\sum_w \sum_{i \in w} \ell_i}{\sum_w n_w}, \quad n = \frac{1}{W} \sum_w n_w

    MMSeg divides by the number n_w of its own, so that a pixel weighs more where fewer count: of
    valid pixels, of those that an auxiliary head learns from.

    This holds for the ``CrossEntropyLoss`` with ``avg_non_ignore=True``; without it every pixel
    counts. One with ``class_weight`` is left as it is, for ``ClassWeightedCrossEntropyLoss``.

    Args:
        *args: Passed to the segmentor.
        **kwargs: Passed to the segmentor.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for loss in self.modules():
            if (
                isinstance(loss, CrossEntropyLoss)
                and loss.avg_non_ignore
                and loss.class_weight is None
                and not loss.use_mask
            ):
                loss.register_forward_pre_hook(_count_in_all, with_kwargs=True)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum what trains this process, and average what is logged over all.

        A loss that is not finite in one of them is seen, and stops the training, in each.

        Args:
            losses: What the heads gave.
        """
        loss, logged = super().parse_losses(losses)
        if get_world_size() > 1:
            means = mean_over_processes(torch.stack([*logged.values()]).detach())
            logged = type(logged)(zip(logged, means, strict=True))
        return loss, logged


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of what the processes have; every one of them has to ask for it.

    Args:
        value: This process's, of the same shape in all.
    """
    if get_world_size() == 1 or isinstance(value, FakeTensor):  # an estimate is made by one
        return value
    total = value.clone()
    all_reduce(total)
    return total / get_world_size()


def _count_in_all(
    loss: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Tell a loss what to divide its sum by; torch calls it before the loss."""
    reduction = kwargs.get('reduction_override') or loss.reduction
    if get_world_size() == 1 or reduction != 'mean' or kwargs.get('avg_factor') is not None:
        return None
    scores, labels = args[:2]
    counted = (labels != kwargs.get('ignore_index', -100)).sum(dtype=torch.float32)
    if loss.use_sigmoid:  # MMSeg's mean is over channels, too
        counted = counted * (scores.numel() // labels.numel())
    return args, {**kwargs, 'avg_factor': mean_over_processes(counted)}
