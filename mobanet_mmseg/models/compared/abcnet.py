"""ABCNet: a spatial and a contextual path, attentive and fused."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from mmseg.models import FCNHead
from mmseg.models.backbones.bisenetv1 import SpatialPath
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.compared.linear_attention import LinearAttention


class AttentionEnhancement(BaseModule):
    """Attention enhancement module: a convolution, linear attention without residual, a norm.

    Source: ABCNet (arXiv:2102.02531), as its public implementation has it.

    Args:
        in_channels: Channels of the (B, C, h, w) input.
        channels: Channels of the output, of the same size.
        norm_cfg: Config of the norms.
    """

    def __init__(self, in_channels: int, channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv = ConvModule(in_channels, channels, 3, padding=1, norm_cfg=norm_cfg)
        self.attention = LinearAttention(channels)
        self.norm = build_norm_layer(norm_cfg, channels)[1]

    def forward(self, inputs: Tensor) -> Tensor:
        """Enhance a (B, C, h, w) map."""
        return self.norm(self.attention(self.conv(inputs)))


class ContextualPath(BaseModule):
    """A backbone whose two deepest maps are enhanced, given the image's mean, and upsampled.

    Source: ABCNet (arXiv:2102.02531).

    Args:
        backbone: Config of a backbone of three maps, at 1/8, 1/16 and 1/32 of the image.
        in_channels: Channels of the two deepest maps.
        channels: Channels of the result.
        norm_cfg: Config of the norms.
    """

    def __init__(
        self, backbone: dict, in_channels: Sequence[int], channels: int, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.mean_conv = ConvModule(in_channels[1], channels, 1, norm_cfg=norm_cfg)
        self.enhance16, self.enhance32 = (
            AttentionEnhancement(width, channels, norm_cfg) for width in in_channels
        )
        self.up16, self.up32 = (
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg) for _ in range(2)
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a (B, C, H, W) image to maps at 1/8 and 1/16 of its size."""
        *_, map16, map32 = self.backbone(inputs)
        mean = self.mean_conv(map32.mean(dim=(2, 3), keepdim=True))
        at16 = self.up32(F.interpolate(self.enhance32(map32) + mean, scale_factor=2))
        at8 = self.up16(F.interpolate(self.enhance16(map16) + at16, scale_factor=2))
        return at8, at16


@MODELS.register_module()
class ABCNet(BaseModule):
    """Attentive bilateral contextual network: BiSeNet's two paths with linear attention.

    The spatial path is MMSegmentation's own of BiSeNet; the contextual path is a ResNet-18 (not
    ResNetV1c) with :class:`AttentionEnhancement`. Concatenated, the paths z are fused as
    ``z + z * A(z)``.

    Source: ABCNet, Li et al., ISPRS Journal 2021 (arXiv:2102.02531,
    10.1016/j.isprsjprs.2021.09.005). Of the paper's 13.67 M parameters, 272,512 belong to the two
    auxiliary heads of training. The attention takes square images alone in the public
    implementation, and any here.

    Args:
        backbone: Config of a backbone of three maps, at 1/8, 1/16 and 1/32 of the image.
        context_channels: Channels of the two deepest maps of it.
        in_channels: Channels of the image.
        channels: Channels of each path; twice as many are fused.
        spatial_channels: Channels of the first three convolutions of the spatial path.
        norm_cfg: Config of the norms.
        init_cfg: mmengine's initialisation config.
    """

    def __init__(
        self,
        backbone: dict,
        context_channels: Sequence[int] = (256, 512),
        in_channels: int = 3,
        channels: int = 128,
        spatial_channels: int = 64,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        norm_cfg = norm_cfg or dict(type='BN')
        self.context_path = ContextualPath(backbone, context_channels, channels, norm_cfg)
        widths = (spatial_channels, spatial_channels, spatial_channels, channels)
        self.spatial_path = SpatialPath(in_channels, widths, norm_cfg=norm_cfg)
        self.fuse = ConvModule(2 * channels, 2 * channels, 1, norm_cfg=norm_cfg)
        self.attention = LinearAttention(2 * channels)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode an image.

        Args:
            inputs: (B, C, H, W), normalised.

        Returns:
            The fused map (B, 2 channels, H / 8, W / 8), and for the auxiliary heads those of the
            contextual path, (B, channels, H / 8, W / 8) and (B, channels, H / 16, W / 16).
        """
        at8, at16 = self.context_path(inputs)
        fused = self.fuse(torch.cat([self.spatial_path(inputs), at8], dim=1))
        return fused + fused * self.attention(fused), at8, at16


@MODELS.register_module()
class ABCNetHead(FCNHead):
    """``FCNHead`` of one convolution whose logits come at the size of the image, by PixelShuffle.

    Source: ABCNet (arXiv:2102.02531).

    Args:
        scale: How many times higher and wider the logits are than the map.
        **kwargs: Passed to ``mmseg.models.FCNHead``.
    """

    def __init__(self, scale: int, **kwargs: Any) -> None:
        super().__init__(num_convs=1, concat_input=False, dropout_ratio=0, **kwargs)
        self.conv_seg = nn.Sequential(
            nn.Conv2d(self.channels, self.out_channels * scale**2, 1), nn.PixelShuffle(scale)
        )
