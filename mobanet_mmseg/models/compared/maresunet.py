"""MAResU-Net's decoder: attention of linear cost on each skip connection of a ResNet."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule, build_norm_layer
from mmengine.model import BaseModule
from mmseg.models.decode_heads.da_head import CAM
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.compared.linear_attention import LinearAttention


class AttentionBlock(BaseModule):
    r"""Attention between pixels and between channels side by side.

    .. math::
        t = \mathrm{ReLU}(W_3 x), \quad y = f(f_p(t + A(t)) + f_c(\mathrm{CAM}(t)))

    with A the linear attention, CAM that of DANet, and each f dropout, a 1 x 1 convolution and a
    ReLU.

    Source: MAResU-Net (10.1109/LGRS.2021.3063381), as its public implementation has it.

    Args:
        channels: Channels C of the map.
        dropout_ratio: Share of the channels that dropout leaves out.
    """

    def __init__(self, channels: int, dropout_ratio: float) -> None:
        super().__init__()
        self.transform = ConvModule(channels, channels, 3, padding=1)
        self.pixel_attention = LinearAttention(channels)
        self.channel_attention = CAM()
        self.pixel_conv, self.channel_conv, self.out_conv = (
            nn.Sequential(nn.Dropout2d(dropout_ratio), ConvModule(channels, channels, 1))
            for _ in range(3)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Refine a (B, C, h, w) map; the result has its shape."""
        features = self.transform(inputs)
        pixels = self.pixel_conv(features + self.pixel_attention(features))
        channels = self.channel_conv(self.channel_attention(features))
        return self.out_conv(pixels + channels)


class UpBlock(nn.Sequential):
    """LinkNet's decoder block: reduced to a quarter of the channels, upsampled by 2, widened.

    Each convolution has the bias that the public implementation keeps in front of its norm.

    Args:
        in_channels: Channels of the (B, C, h, w) input.
        out_channels: Channels of the (B, C', 2 h, 2 w) output.
        norm_cfg: Config of the norms.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        reduced = in_channels // 4
        convs = (
            nn.Conv2d(in_channels, reduced, 1),
            nn.ConvTranspose2d(reduced, reduced, 3, stride=2, padding=1, output_padding=1),
            nn.Conv2d(reduced, out_channels, 1),
        )
        layers: list[nn.Module] = []
        for conv in convs:
            norm = build_norm_layer(norm_cfg, conv.out_channels)[1]
            layers += [conv, norm, nn.ReLU(inplace=True)]
        super().__init__(*layers)


@MODELS.register_module()
class MAResUNetHead(BaseDecodeHead):
    """Multistage attention ResU-Net on a ResNet of basic blocks (depth 18 or 34).

    The last map goes through :class:`AttentionBlock` and up; the skip connections' maps go through
    one each and are added. Two more steps bring the 32 channels that are classified to the size of
    the image.

    Source: Multistage Attention ResU-Net, Li et al., GRSL 2022 (arXiv:2011.14302,
    10.1109/LGRS.2021.3063381). The public implementation uses ResNet-34, the paper's table says
    ResNet-18. Its attention takes square images alone; this one takes any.

    Args:
        in_channels: Channels of the four maps, at 1/4 to 1/32 of the image.
        channels: Channels that are classified.
        dropout_ratio: Dropout in each attention block.
        norm_cfg: Config of the norms.
        init_cfg: mmengine's initialisation config.
        **kwargs: Passed to ``mmseg.models.BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 32,
        dropout_ratio: float = 0.1,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg or dict(type='BN'),
            init_cfg=init_cfg,
            **kwargs,
        )
        widths = self.in_channels
        self.attention = nn.ModuleList(AttentionBlock(width, dropout_ratio) for width in widths)
        narrower = [widths[0], *widths[:-1]]
        self.up = nn.ModuleList(
            UpBlock(width, to, self.norm_cfg) for width, to in zip(widths, narrower, strict=True)
        )
        self.last_up = nn.Sequential(
            nn.ConvTranspose2d(widths[0], channels, 4, stride=2, padding=1), nn.ReLU(inplace=True)
        )
        self.last_conv = ConvModule(channels, channels, 3, padding=1)
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 3, padding=1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode a backbone's maps.

        Args:
            inputs: Maps of (B, C_s, H / 4, W / 4) to (B, C_s, H / 32, W / 32).

        Returns:
            Logits (B, K, H, W).
        """
        refined = [
            attention(features)
            for attention, features in zip(
                self.attention, self._transform_inputs(inputs), strict=True
            )
        ]
        decoded = refined.pop()
        for up in reversed(self.up[1:]):
            decoded = up(decoded) + refined.pop()
        return self.conv_seg(self.last_conv(self.last_up(self.up[0](decoded))))
