"""CMGFNet: two ResNets, six levels of gates, and a decoder of the optical and of both streams."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import DepthwiseSeparableConvModule, build_norm_layer
from mmengine.logging import print_log
from mmseg.models import ResNet
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from mobanet_mmseg.weights.channels import with_channels


@MODELS.register_module()
class SixLevelResNet(ResNet):
    """``ResNet`` that gives its stem's map first, its four stages' and the last of them pooled.

    Where it takes another number of channels than its pretrained weights, each filter of the first
    convolution begins as the mean over theirs in all channels (the first three are kept where there
    are more), and the log says so.

    Source: the encoders of CMGFNet (10.1016/j.isprsjprs.2021.12.007).

    Args:
        **kwargs: Passed to ``mmseg.models.ResNet``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_load_state_dict_pre_hook(_fit_first_convolution)

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Encode a (B, C, H, W) image to six maps, at 1/2 to 1/64 of its size."""
        maps = [self.relu(self.norm1(self.conv1(inputs)))]
        features = self.maxpool(maps[0])
        for name in self.res_layers:
            features = getattr(self, name)(features)
            maps.append(features)
        return (*maps, F.max_pool2d(features, 2))


def _fit_first_convolution(
    resnet: SixLevelResNet, state_dict: dict[str, Tensor], prefix: str, *_: Any
) -> None:
    """Fit the first convolution, in what is about to be loaded, to the channels of the image."""
    name = f'{prefix}conv1.weight'
    given, wanted = state_dict.get(name), resnet.conv1.in_channels
    if given is None or given.shape[1] == wanted:
        return
    state_dict[name] = with_channels(given, wanted)
    kept = given.shape[1] if wanted > given.shape[1] else 0
    print_log(
        f'The first convolution takes {wanted} channels and its pretrained weights '
        f'{given.shape[1]}: {wanted - kept} begin as the mean over those.',
        logger='current',
    )


class Gate(nn.Module):
    r"""Gated fusion: how much of each stream passes, per pixel and channel.

    .. math:: G = \sigma(W [R; A]), \quad F = [(1 - G) \odot A; G \odot R]

    Source: CMGFNet (10.1016/j.isprsjprs.2021.12.007), in the order of the public implementation.

    Args:
        channels: Channels C of each stream's map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, rgb: Tensor, aux: Tensor) -> Tensor:
        """Fuse two (B, C, h, w) maps into one of (B, 2 C, h, w)."""
        gate = self.gate(torch.cat([rgb, aux], dim=1)).sigmoid()
        return torch.cat([(1 - gate) * aux, gate * rgb], dim=1)


class ResidualUp(nn.Module):
    """Upsampling by 2, then two depthwise separable convolutions beside one of 1 x 1.

    Source: CMGFNet (10.1016/j.isprsjprs.2021.12.007), R-DSC.

    Args:
        in_channels: Channels of the (B, C, h, w) input.
        out_channels: Channels of the (B, C', 2 h, 2 w) output.
        norm_cfg: Config of the norms.
    """

    def __init__(self, in_channels: int, out_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1)
        plain = dict(kernel_size=3, padding=1, norm_cfg=None, act_cfg=None)
        self.convs = nn.Sequential(
            build_norm_layer(norm_cfg, in_channels)[1],
            DepthwiseSeparableConvModule(in_channels, in_channels, **plain),
            build_norm_layer(norm_cfg, in_channels)[1],
            nn.ReLU(inplace=True),
            DepthwiseSeparableConvModule(in_channels, out_channels, **plain),
            build_norm_layer(norm_cfg, out_channels)[1],
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Upsample a (B, C, h, w) map."""
        features = F.interpolate(inputs, scale_factor=2, mode='bilinear', align_corners=True)
        return self.shortcut(features) + self.convs(features)


@MODELS.register_module()
class CMGFNetHead(BaseDecodeHead):
    """Cross-modal gated fusion network on two streams of :class:`SixLevelResNet`.

    Each level of each stream is projected to few channels. One decoder takes the optical levels,
    the other the gated fusion of both; where they end, at the size of the image, a last gate fuses
    them. Three classifiers, each with a norm and a ReLU (so that no logit is negative), read the
    fused map, the optical decoder and the cross-modal one; training takes the mean of their losses,
    prediction the first.

    Source: CMGFNet, Hosseinpour et al., ISPRS Journal 2022 (10.1016/j.isprsjprs.2021.12.007), made
    for buildings, with a binary loss; as in the public implementation. The published 43.68 M
    parameters are 43,684,566 with the two ImageNet classifiers of the encoders, 513,000 each, which
    are never used and left out here.

    Args:
        in_channels: Channels of the six maps of a stream, at 1/2 to 1/64 of the image.
        channels: Channels of each decoder; twice as many are fused and classified.
        norm_cfg: Config of the norms.
        init_cfg: mmengine's initialisation config.
        **kwargs: Passed to ``mmseg.models.BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 64, 128, 256, 512, 512),
        channels: int = 16,
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            input_transform='multiple_select',
            dropout_ratio=0,
            norm_cfg=norm_cfg or dict(type='BN'),
            init_cfg=init_cfg,
            **kwargs,
        )
        levels = range(len(in_channels))
        self.rgb_sides, self.aux_sides = (
            nn.ModuleList(nn.Conv2d(width, channels, 1) for width in in_channels) for _ in range(2)
        )
        self.gates = nn.ModuleList(Gate(channels) for _ in levels)  # the last for the decoders
        # from the deepest level to the first; a level comes beside what is decoded so far
        self.rgb_decoder, self.cross_decoder = (
            nn.ModuleList(
                ResidualUp(channels if i == 0 else width, channels, self.norm_cfg) for i in levels
            )
            for width in (2 * channels, 3 * channels)
        )
        self.conv_seg = self._classifier(2 * channels)
        self.rgb_conv_seg = self._classifier(channels)
        self.cross_conv_seg = self._classifier(channels)

    def _classifier(self, channels: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(channels, self.out_channels, 1),
            build_norm_layer(self.norm_cfg, self.out_channels)[1],
            nn.ReLU(inplace=True),
        )

    def decode(self, inputs: tuple[Sequence[Tensor], Sequence[Tensor]]) -> tuple[Tensor, Tensor]:
        """Decode both streams.

        Args:
            inputs: ``(rgb_maps, aux_maps)``, six maps (B, C_s, h_s, w_s) each.

        Returns:
            The optical and the cross-modal map, (B, channels, H, W).
        """
        rgb, aux = (
            [side(level) for side, level in zip(sides, maps, strict=True)]
            for sides, maps in zip((self.rgb_sides, self.aux_sides), inputs, strict=True)
        )
        from_rgb = self.rgb_decoder[0](rgb[-1])
        crossed = self.cross_decoder[0](aux[-1])
        for i in range(1, len(rgb)):
            level = len(rgb) - 1 - i
            from_rgb = self.rgb_decoder[i](torch.cat([rgb[level], from_rgb], dim=1))
            gated = self.gates[level](rgb[level], aux[level])
            crossed = self.cross_decoder[i](torch.cat([gated, crossed], dim=1))
        return from_rgb, crossed

    def forward(self, inputs: tuple[Sequence[Tensor], Sequence[Tensor]]) -> Tensor:
        """Predict the fused logits (B, K, H, W); see :meth:`decode`."""
        return self.conv_seg(self.gates[-1](*self.decode(inputs)))

    def forward_all(
        self, inputs: tuple[Sequence[Tensor], Sequence[Tensor]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the fused, the optical and the cross-modal logits, (B, K, H, W) each."""
        from_rgb, crossed = self.decode(inputs)
        fused = self.conv_seg(self.gates[-1](from_rgb, crossed))
        return fused, self.rgb_conv_seg(from_rgb), self.cross_conv_seg(crossed)

    def loss(
        self,
        inputs: tuple[Sequence[Tensor], Sequence[Tensor]],
        batch_data_samples: SampleList,
        train_cfg: dict,
    ) -> dict[str, Tensor]:
        """Take the mean of the three outputs' losses.

        Args:
            inputs: See :meth:`decode`.
            batch_data_samples: The samples, with their labels.
            train_cfg: Not used.

        Returns:
            The mean of each loss, and the accuracy of the fused output.
        """
        fused, *others = (
            self.loss_by_feat(logits, batch_data_samples) for logits in self.forward_all(inputs)
        )
        means = {
            name: (value + sum(other[name] for other in others)) / (1 + len(others))
            for name, value in fused.items()
        }
        return dict(means, acc_seg=fused['acc_seg'])
