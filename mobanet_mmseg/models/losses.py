"""Losses of published recipes that neither MMSegmentation nor torch has by configuration."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.distributed import mean_over_processes


@MODELS.register_module()
class LabelSmoothingCrossEntropyLoss(nn.Module):
    r"""Cross-entropy whose target gives a part of its probability to all classes alike.

    .. math:: L = \frac{1}{B H W} \sum_n \Big[ (1 - \epsilon) \, \ell_n(y_n)
        + \frac{\epsilon}{K} \sum_c \ell_n(c) \Big], \quad \ell_n(c) = -\log p_n(c)

    An ignored pixel adds 0 to the sum and is counted in B H W, as in the public implementation.

    Source: label smoothing of Szegedy et al. (2016, arXiv:1512.00567) as the GeoSeg networks are
    trained with it (UNetFormer, Wang et al. 2022, doi:10.1016/j.isprsjprs.2022.06.008).

    Args:
        smoothing: Epsilon, the probability that all K classes share.
        loss_weight: Factor of the loss.
        loss_name: Name in the log; ``loss_`` in front makes it a part of the sum.

    Raises:
        ValueError: If ``smoothing`` is not in 0..1.
    """

    def __init__(
        self,
        smoothing: float = 0.05,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_ce',
    ) -> None:
        super().__init__()
        if not 0 <= smoothing <= 1:
            raise ValueError(
                f'LabelSmoothingCrossEntropyLoss got smoothing={smoothing}: give 0 (none) to 1.'
            )
        self.smoothing = smoothing
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            pred: Logits (B, K, H, W).
            target: Class indices (B, H, W).
            weight: Factor of each pixel (B, H, W), as a head's sampler gives it.
            ignore_index: Class index of the pixels that add nothing.
            **kwargs: Not used.
        """
        losses = F.cross_entropy(
            pred,
            target,
            reduction='none',
            ignore_index=ignore_index,
            label_smoothing=self.smoothing,
        )
        if weight is not None:
            losses = losses * weight
        return self.loss_weight * losses.mean()


@MODELS.register_module()
class ClassWeightedCrossEntropyLoss(nn.Module):
    r"""Cross-entropy whose mean weighs each pixel by its class, and leaves ignored ones out.

    .. math:: L = \sum_n w(y_n) \, \ell_n(y_n) \Big/ \sum_n w(y_n), \quad \ell_n(c) = -\log p_n(c)

    MMSeg's ``CrossEntropyLoss`` with ``class_weight`` stops at a pixel that is ignored. In several
    processes the sums are over the pixels of all.

    Args:
        class_weight: w, one for each class; 0 learns nothing from a class.
        loss_weight: Factor of the loss.
        loss_name: Name in the log; ``loss_`` in front makes it a part of the sum.
    """

    def __init__(
        self,
        class_weight: Sequence[float],
        loss_weight: float = 1.0,
        loss_name: str = 'loss_ce',
    ) -> None:
        super().__init__()
        self.class_weight = tuple(class_weight)
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> Tensor:
        """Compute the loss, a scalar; 0 where no pixel has a weight.

        Args:
            pred: Logits (B, K, H, W).
            target: Class indices (B, H, W).
            weight: Factor of each pixel (B, H, W), as a head's sampler gives it.
            ignore_index: Class index of the pixels that are in no sum.
            **kwargs: Not used.
        """
        counted = target != ignore_index
        weights = pred.new_tensor(self.class_weight)[target * counted] * counted
        if weight is not None:
            weights = weights * weight
        losses = F.cross_entropy(pred, target, reduction='none', ignore_index=ignore_index)
        total = mean_over_processes(weights.sum())
        return self.loss_weight * (losses * weights).sum() / total.where(total > 0, 1)


@MODELS.register_module()
class SoftDiceLoss(nn.Module):
    r"""Dice loss of each class over all pixels of a batch, from probabilities.

    .. math:: L = \frac{1}{K} \sum_{c \in y} \Big( 1 - \frac{2 \sum_n p_n(c) y_n(c) + s}
        {\sum_n p_n(c) + \sum_n y_n(c) + s} \Big)

    A class that the batch does not hold adds 0, and the mean is over all K classes nevertheless;
    ignored pixels are in no sum. MMSeg's ``DiceLoss`` sums over the classes of each image.

    Source: as the GeoSeg networks are trained with it (UNetFormer, Wang et al. 2022,
    doi:10.1016/j.isprsjprs.2022.06.008).

    Args:
        smooth: s, in pixels.
        loss_weight: Factor of the loss.
        loss_name: Name in the log; ``loss_`` in front makes it a part of the sum.
    """

    def __init__(
        self, smooth: float = 0.05, loss_weight: float = 1.0, loss_name: str = 'loss_dice'
    ) -> None:
        super().__init__()
        self.smooth = smooth
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ) -> Tensor:
        """Compute the loss, a scalar.

        Args:
            pred: Logits (B, K, H, W).
            target: Class indices (B, H, W).
            weight: Factor of each pixel (B, H, W), as a head's sampler gives it.
            ignore_index: Class index of the pixels that are in no sum.
            **kwargs: Not used.
        """
        counted = (target != ignore_index).to(pred.dtype)
        if weight is not None:
            counted = counted * weight
        classes = torch.arange(pred.shape[1], device=pred.device)[:, None, None]
        probabilities = pred.softmax(dim=1) * counted[:, None]
        truth = (target[:, None] == classes) * counted[:, None]
        pixels = (0, 2, 3)
        shared = (probabilities * truth).sum(pixels)
        both = (probabilities + truth).sum(pixels)
        score = (2 * shared + self.smooth) / (both + self.smooth)
        present = truth.sum(pixels) > 0
        return self.loss_weight * ((1 - score) * present).mean()
