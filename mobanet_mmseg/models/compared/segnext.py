"""SegNeXt's backbone for stacked images."""

from typing import Any

from mmseg.models.backbones import MSCAN
from mmseg.models.backbones.mscan import StemConv
from mmseg.registry import MODELS


@MODELS.register_module()
class StackedMSCAN(MSCAN):
    """MMSeg's ``MSCAN`` with a stem of ``in_channels``, where MMSeg's is of three in any case.

    Source: SegNeXt, Guo et al. 2022, arXiv:2209.08575.

    Args:
        in_channels: Channels of the stacked image.
        embed_dims: Channels of each stage.
        norm_cfg: Norm of the stem and of the blocks.
        **kwargs: Passed to ``mmseg.models.MSCAN``.
    """

    def __init__(
        self, in_channels: int, embed_dims: list[int], norm_cfg: dict, **kwargs: Any
    ) -> None:
        super().__init__(embed_dims=embed_dims, norm_cfg=norm_cfg, **kwargs)
        self.patch_embed1 = StemConv(in_channels, embed_dims[0], norm_cfg=norm_cfg)
