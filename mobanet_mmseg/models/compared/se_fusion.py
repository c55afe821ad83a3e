"""Squeeze and excitation of two streams, added."""

from mmengine.model import BaseModule
from mmpretrain.models.utils import SELayer
from torch import Tensor


class SEFusion(BaseModule):
    r"""Weighs the channels of both modalities, each by itself, and adds them.

    .. math::
        F = \mathrm{SE}_r(R) + \mathrm{SE}_a(A), \quad
        \mathrm{SE}(X) = \sigma(W_2\, \mathrm{relu}(W_1 \bar X)) X

    Source: Squeeze-and-Excitation Networks (arXiv:1709.01507), as FTransUNet
    (doi:10.1109/TGRS.2024.3373033) and MANet (arXiv:2410.11160) fuse.

    Args:
        channels: Channels C of both maps.
        ratio: Between them there are C // ratio.
    """

    def __init__(self, channels: int, ratio: int = 16) -> None:
        super().__init__()
        self.rgb = SELayer(channels, ratio=ratio, divisor=1)
        self.aux = SELayer(channels, ratio=ratio, divisor=1)

    def forward(self, rgb: Tensor, aux: Tensor) -> Tensor:
        """Fuse two (B, C, h, w) maps into one of the same shape."""
        return self.rgb(rgb) + self.aux(aux)
