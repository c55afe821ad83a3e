"""The heads of MoBaNet as its authors released it, where stock heads differ."""

from typing import Any

from mmseg.models import FCNHead, UPerHead
from mmseg.registry import MODELS
from torch import nn


@MODELS.register_module()
class ReleasedUPerHead(UPerHead):
    """``UPerHead`` without activation on its laterals and without bias in its classifier.

    Source: the weights that MoBaNet's authors released.

    Args:
        **kwargs: Passed to ``mmseg.models.UPerHead``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for lateral in self.lateral_convs:
            lateral.with_activation = False
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels, 1, bias=False)


@MODELS.register_module()
class ReleasedFCNHead(FCNHead):
    """``FCNHead`` without bias in its classifier.

    Source: the weights that MoBaNet's authors released.

    Args:
        **kwargs: Passed to ``mmseg.models.FCNHead``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.conv_seg = nn.Conv2d(self.channels, self.out_channels, 1, bias=False)
