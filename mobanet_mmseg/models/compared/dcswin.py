"""DC-Swin: a densely connected decoder of the four maps of a Swin transformer."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from mmseg.models import SwinTransformer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.compared.linear_attention import LinearAttention, LinearChannelAttention


@MODELS.register_module()
class DCSwin(SwinTransformer):
    """Swin transformer frozen as in DC-Swin: at once, but for the norms of the maps.

    MMSegmentation's freezes ``frozen_stages`` with the norms of what leaves them, and no sooner
    than training begins, when DDP has taken the parameters for trained ones. Of Swin-B's 86,745,016
    parameters, ``frozen_stages=1`` freezes 536,520 here (256 more there): the patch embedding, and
    the first stage with the patch merging behind it.

    Source: Swin Transformer, Liu et al., ICCV 2021 (arXiv:2103.14030), as DC-Swin trains it.

    Args:
        **kwargs: Passed to ``mmseg.models.SwinTransformer``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._freeze_stages()

    def train(self, mode: bool = True) -> 'DCSwin':
        """Train or not; the frozen stages stay in evaluation mode."""
        super().train(mode)
        return self  # which MMSegmentation's does not

    def _freeze_stages(self) -> None:
        super()._freeze_stages()
        for stage in self.out_indices:
            self.get_submodule(f'norm{stage}').requires_grad_(True)  # a LayerNorm has no mode


class Downsample(BaseModule):
    """Residual block that halves the map: two convolutions beside one.

    Args:
        in_channels: Channels of the (B, C, h, w) input.
        out_channels: Channels of the (B, C', h / 2, w / 2) output.
        norm_cfg: Config of the norms.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        keywords = dict(kernel_size=3, padding=1, norm_cfg=norm_cfg)
        self.convs = nn.Sequential(
            ConvModule(in_channels, out_channels, **keywords),
            ConvModule(out_channels, out_channels, stride=2, act_cfg=None, **keywords),
        )
        self.shortcut = ConvModule(in_channels, out_channels, stride=2, act_cfg=None, **keywords)

    def forward(self, inputs: Tensor) -> Tensor:
        """Halve a (B, C, h, w) map."""
        return F.relu(self.convs(inputs) + self.shortcut(inputs))


class LargeField(nn.Sequential):
    """Large field upsampling: two dilated separable convolutions, each before a nearest x 2.

    Args:
        channels: Channels of the (B, C, h, w) input, of the map between and of the
            (B, C', 4 h, 4 w) output.
        norm_cfg: Config of the norms.
    """

    def __init__(self, channels: Sequence[int], norm_cfg: dict) -> None:
        layers: list[nn.Module] = []
        for i, dilation in enumerate((6, 12)):
            conv = DepthwiseSeparableConvModule(
                channels[i],
                channels[i + 1],
                3,
                padding=dilation,
                dilation=dilation,
                norm_cfg=norm_cfg,
                dw_norm_cfg=None,
                dw_act_cfg=None,
                bias=False,
            )
            layers += [conv, nn.UpsamplingNearest2d(scale_factor=2)]
        super().__init__(*layers)


@MODELS.register_module()
class DCSwinHead(BaseDecodeHead):
    r"""Densely connected feature aggregation.

    With :math:`x_1` to :math:`x_4` the maps of the backbone, S (between pixels, shared) and C
    (between channels, shared) residual linear attention, D downsampling and L large-field
    upsampling by 4:

    .. math::
        o_4 &= W_4 x_4 + D(S(D(x_2))), & o_3 &= S(x_3) + D(C(D(x_1))), \\
        o_2 &= C(x_2) + L(o_4), & o_1 &= W_1 x_1 + L(o_3)

    of which :math:`o_1` and the upsampled :math:`o_2` are added and classified.

    Source: DC-Swin, Wang et al., GRSL 2022 (arXiv:2104.12137, 10.1109/LGRS.2022.3143368), as its
    public implementation has it, whose attention takes square images alone; this one takes any. The
    published 118.39 M parameters are those that are trained, with a frozen Swin-B as
    :class:`DCSwin`'s.

    Args:
        in_channels: Channels of the four maps, at 1/4 to 1/32 of the image.
        channels: Channels that are classified; the first map's.
        dropout_ratio: Dropout before the last two convolutions.
        norm_cfg: Config of the norms.
        align_corners: The logits are resized with aligned corners in the public implementation.
        init_cfg: mmengine's initialisation config.
        **kwargs: Passed to ``mmseg.models.BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        dropout_ratio: float = 0.05,
        norm_cfg: dict | None = None,
        align_corners: bool = True,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg or dict(type='BN'),
            align_corners=align_corners,
            init_cfg=init_cfg,
            **kwargs,
        )
        norm_cfg = self.norm_cfg
        c1, c2, c3, c4 = self.in_channels
        self.conv1 = nn.Conv2d(c1, c1, 1, bias=False)
        self.conv4 = nn.Conv2d(c4, c4, 1, bias=False)
        self.down12 = Downsample(c1, c2, norm_cfg)
        self.down23_of1 = Downsample(c2, c3, norm_cfg)
        self.down23_of2 = Downsample(c2, c3, norm_cfg)
        self.down34 = Downsample(c3, c4, norm_cfg)
        self.pixel_attention = LinearAttention(c3)
        self.channel_attention = LinearChannelAttention()
        self.up4 = LargeField((c4, c3, c2), norm_cfg)
        self.up3 = LargeField((c3, c2, c1), norm_cfg)
        self.up2 = ConvModule(c2, c1, 3, padding=1, norm_cfg=norm_cfg)
        self.last_conv = ConvModule(c1, channels, 3, padding=1, norm_cfg=norm_cfg)
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode a backbone's maps.

        Args:
            inputs: Maps of (B, C_s, H / 4, W / 4) to (B, C_s, H / 32, W / 32).

        Returns:
            Logits (B, K, H / 4, W / 4).
        """
        x1, x2, x3, x4 = self._transform_inputs(inputs)
        out4 = self.conv4(x4) + self.down34(self._between_pixels(self.down23_of2(x2)))
        from1 = self.down23_of1(self._between_channels(self.down12(x1)))
        out3 = self._between_pixels(x3) + from1
        out2 = self._between_channels(x2) + self.up4(out4)
        out1 = self.conv1(x1) + self.up3(out3)
        decoded = out1 + F.interpolate(self.up2(out2), scale_factor=2)
        if self.dropout is not None:
            decoded = self.dropout(decoded)
        return self.conv_seg(self.last_conv(decoded))

    def _between_pixels(self, features: Tensor) -> Tensor:
        return features + self.pixel_attention(features)

    def _between_channels(self, features: Tensor) -> Tensor:
        return features + self.channel_attention(features)
