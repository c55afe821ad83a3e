"""UNetFormer: a light decoder whose blocks attend to windows and convolve beside it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule, build_norm_layer
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vit_sam import window_partition, window_unpartition
from mmpretrain.models.utils import SELayer
from mmseg.models.backbones.swin import WindowMSA
from mmseg.models.builder import build_loss
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

RELU6 = dict(type='ReLU6')


@MODELS.register_module()
class UNetFormerHead(BaseDecodeHead):
    r"""The decoder of UNetFormer, over four maps of strides 4, 8, 16 and 32.

    The deepest map goes up three times: a block of global and local attention, then a weighted sum
    with the next map of the backbone. The last sum is refined by pixel and by channel.

    .. math::
        X_4 &= B(R_4), \quad X_3 = B(W(X_4, R_3)), \quad X_2 = B(W(X_3, R_2)) \\
        P &= \mathrm{conv}_{1}(\mathrm{conv}_{3}(\mathrm{refine}(X_2, R_1)))

    In training an auxiliary output is learned from :math:`X_4 + X_3 + X_2`.

    Source: UNetFormer, L. Wang et al., ISPRS Journal of Photogrammetry and Remote Sensing 190
    (2022) 196-214, doi:10.1016/j.isprsjprs.2022.06.008, arXiv:2109.08937.

    Args:
        in_channels: Channels of the four maps.
        channels: Channels C of the decoder.
        num_heads: Heads of the window attention.
        window_size: Side of a window, pixels of a map; even.
        loss_auxiliary: Config of the loss of the auxiliary output; ``None`` leaves that output out.
        in_index: Places of the four maps among those of the backbone.
        norm_cfg: Config of the norms; ``None`` is batch norm.
        **kwargs: Passed to ``BaseDecodeHead``.

    Raises:
        ValueError: If ``window_size`` is odd.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 64,
        num_heads: int = 8,
        window_size: int = 8,
        loss_auxiliary: dict | None = None,
        in_index: Sequence[int] = (0, 1, 2, 3),
        norm_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        norm_cfg = norm_cfg or dict(type='BN')
        super().__init__(
            in_channels,
            channels,
            in_index=in_index,
            input_transform='multiple_select',
            norm_cfg=norm_cfg,
            act_cfg=RELU6,
            **kwargs,
        )
        if window_size % 2:
            raise ValueError(f'UNetFormerHead got window_size={window_size}: give an even one.')
        blocks = [GlobalLocalBlock(channels, num_heads, window_size, norm_cfg) for _ in range(3)]
        stride_4, stride_8, stride_16, stride_32 = in_channels
        self.reduce = ConvModule(stride_32, channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.block4, self.block3, self.block2 = blocks
        self.fuse3 = WeightedFusion(channels, stride_16, norm_cfg)
        self.fuse2 = WeightedFusion(channels, stride_8, norm_cfg)
        self.refine = FeatureRefinement(channels, stride_4, norm_cfg)
        self.conv = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=RELU6)
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 1, bias=False)
        self.auxiliary = self.loss_auxiliary = None
        if loss_auxiliary is not None:
            self.auxiliary = AuxiliaryOutput(channels, self.out_channels, norm_cfg)
            self.loss_auxiliary = build_loss(loss_auxiliary)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | tuple[Tensor, Tensor]:
        """Decode a backbone's maps.

        Args:
            inputs: (B, C_s, h_s, w_s) maps.

        Returns:
            (B, K, H / 4, W / 4) logits; in training with an auxiliary output both.
        """
        stride_4, stride_8, stride_16, stride_32 = self._transform_inputs(inputs)
        deep = self.block4(self.reduce(stride_32))
        middle = self.block3(self.fuse3(deep, stride_16))
        shallow = self.block2(self.fuse2(middle, stride_8))
        logits = self.cls_seg(self.conv(self.refine(shallow, stride_4)))
        if self.training and self.auxiliary is not None:
            return logits, self.auxiliary(deep, middle, shallow)
        return logits

    def loss_by_feat(
        self, seg_logits: Tensor | tuple[Tensor, Tensor], batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Compute the losses of what :meth:`forward` gives.

        Args:
            seg_logits: The logits, or those and the auxiliary ones.
            batch_data_samples: The labels.

        Returns:
            The losses by name.
        """
        if isinstance(seg_logits, Tensor):
            return super().loss_by_feat(seg_logits, batch_data_samples)
        logits, auxiliary = seg_logits
        losses = super().loss_by_feat(logits, batch_data_samples)
        labels = self._stack_batch_gt(batch_data_samples).squeeze(1)
        auxiliary = resize(auxiliary, labels.shape[-2:], mode='bilinear', align_corners=False)
        losses['loss_auxiliary'] = self.loss_auxiliary(
            auxiliary, labels, ignore_index=self.ignore_index
        )
        return losses


class AuxiliaryOutput(BaseModule):
    """Logits of the sum of a decoder's three maps, which help in training alone.

    Source: UNetFormer (arXiv:2109.08937).

    Args:
        channels: Channels of the maps.
        num_classes: Classes K.
        norm_cfg: Config of the norm.
    """

    def __init__(self, channels: int, num_classes: int, norm_cfg: dict) -> None:
        super().__init__()
        self.conv = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=RELU6)
        self.dropout = nn.Dropout(0.1)
        self.conv_seg = nn.Conv2d(channels, num_classes, 1, bias=False)

    def forward(self, deep: Tensor, middle: Tensor, shallow: Tensor) -> Tensor:
        """Add (B, C, h_s, w_s) maps at the size of the last; (B, K, h, w) logits."""
        deep, middle = (
            F.interpolate(maps, shallow.shape[-2:], mode='bilinear', align_corners=True)
            for maps in (deep, middle)
        )
        return self.conv_seg(self.dropout(self.conv(deep + middle + shallow)))


class GlobalLocalBlock(BaseModule):
    """A transformer block on maps: attention, then a perceptron, each behind a norm and added.

    Source: UNetFormer (arXiv:2109.08937).

    Args:
        channels: Channels C of the maps.
        num_heads: Heads of the attention.
        window_size: Side of a window.
        norm_cfg: Config of the norms.
    """

    def __init__(self, channels: int, num_heads: int, window_size: int, norm_cfg: dict) -> None:
        super().__init__()
        self.norm1 = build_norm_layer(norm_cfg, channels)[1]
        self.attention = GlobalLocalAttention(channels, num_heads, window_size, norm_cfg)
        self.norm2 = build_norm_layer(norm_cfg, channels)[1]
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, 4 * channels, 1),
            nn.ReLU6(inplace=True),
            nn.Conv2d(4 * channels, channels, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Transform (B, C, h, w) maps; the shape stays."""
        maps = maps + self.attention(self.norm1(maps))
        return maps + self.mlp(self.norm2(maps))


class GlobalLocalAttention(BaseModule):
    r"""Attention in windows that averages over rows and columns join, beside convolutions.

    .. math::
        A &= \mathrm{attend}(X), \quad L = \mathrm{conv}_{1}(X) + \mathrm{conv}_{3}(X) \\
        Y &= \mathrm{conv}_{w}(\mathrm{mean}_{w \times 1}(A) + \mathrm{mean}_{1 \times w}(A) + L)

    The windows are Swin's, with its table of relative positions, without an output projection.
    Where they do not divide a map, it is reflected at its bottom and right.

    Source: UNetFormer (arXiv:2109.08937).

    Args:
        channels: Channels C of the maps.
        num_heads: Heads of the attention.
        window_size: Side w of a window; even.
        norm_cfg: Config of the norms.
    """

    def __init__(self, channels: int, num_heads: int, window_size: int, norm_cfg: dict) -> None:
        super().__init__()
        self.window_size = window_size
        self.msa = WindowMSA(channels, num_heads, (window_size, window_size), qkv_bias=False)
        self.msa.proj = nn.Identity()
        self.local1 = ConvModule(channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.local3 = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=None)
        self.proj = depthwise_separable(channels, window_size, norm_cfg)

    def forward(self, maps: Tensor) -> Tensor:
        """Transform (B, C, h, w) maps; the shape stays."""
        size = self.window_size
        before = size // 2 - 1  # an even window has one pixel more after its middle than before
        attended = self._attend(maps)
        columns = F.avg_pool2d(reflect(attended, 1, 0), (size, 1), 1, (before, 0))
        rows = F.avg_pool2d(reflect(attended, 0, 1), (1, size), 1, (0, before))
        local = self.local1(maps) + self.local3(maps)
        return self.proj(reflect(columns + rows + local, 1, 1))

    def _attend(self, maps: Tensor) -> Tensor:
        (height, width), size = maps.shape[-2:], self.window_size
        padded = reflect(maps, -height % size, -width % size).permute(0, 2, 3, 1)
        windows, grid = window_partition(padded, size)
        attended = self.msa(windows.flatten(1, 2)).unflatten(1, (size, size))
        return window_unpartition(attended, size, grid, (height, width)).permute(0, 3, 1, 2)


class WeightedFusion(BaseModule):
    r"""A map of the decoder and one of the backbone, weighed by two learned numbers.

    .. math::
        Y = \mathrm{conv}_{3}(w_0 R + w_1 \mathrm{up}(X)), \quad
        w = \mathrm{relu}(v) / \sum \mathrm{relu}(v)

    Source: UNetFormer (arXiv:2109.08937).

    Args:
        channels: Channels C of the decoder.
        skip_channels: Channels of the backbone's map.
        norm_cfg: Config of the norm.
    """

    def __init__(self, channels: int, skip_channels: int, norm_cfg: dict) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(skip_channels, channels, 1, bias=False)
        self.weights = nn.Parameter(torch.ones(2))
        self.conv = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg, act_cfg=RELU6)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """Fuse (B, C, h, w) maps and a larger (B, C', h', w') one into (B, C, h', w')."""
        maps = resize(maps, skip.shape[-2:], mode='bilinear', align_corners=False)
        weights = F.relu(self.weights)
        for_skip, for_maps = weights / (weights.sum() + 1e-8)
        return self.conv(for_skip * self.reduce(skip) + for_maps * maps)


class FeatureRefinement(WeightedFusion):
    """A weighted fusion whose pixels and channels are gated and added to it.

    Source: UNetFormer (arXiv:2109.08937).

    Args:
        channels: Channels C of the decoder.
        skip_channels: Channels of the backbone's map.
        norm_cfg: Config of the norms.
    """

    def __init__(self, channels: int, skip_channels: int, norm_cfg: dict) -> None:
        super().__init__(channels, skip_channels, norm_cfg)
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.channel = SELayer(
            channels, ratio=16, divisor=1, bias=False, act_cfg=(RELU6, dict(type='Sigmoid'))
        )
        self.shortcut = ConvModule(channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)
        self.proj = depthwise_separable(channels, 3, norm_cfg)

    def forward(self, maps: Tensor, skip: Tensor) -> Tensor:
        """Fuse and refine as :class:`WeightedFusion` fuses."""
        fused = super().forward(maps, skip)
        gated = fused * self.position(fused).sigmoid() + self.channel(fused)
        return F.relu6(self.shortcut(fused) + self.proj(gated))


def depthwise_separable(channels: int, size: int, norm_cfg: dict) -> DepthwiseSeparableConvModule:
    """Build a depthwise convolution, a norm and a pointwise convolution, without bias.

    Args:
        channels: Channels, which stay.
        size: Side of the filters; an even one takes a pixel from each side of the map.
        norm_cfg: Config of the norm.
    """
    return DepthwiseSeparableConvModule(
        channels,
        channels,
        size,
        padding=(size - 1) // 2,
        dw_norm_cfg=norm_cfg,
        act_cfg=None,
        bias=False,
    )


def reflect(maps: Tensor, bottom: int, right: int) -> Tensor:
    """Pad (B, C, h, w) maps by reflection, back and forth where they are smaller than that."""
    for dim, padding in ((2, bottom), (3, right)):
        if padding:
            size = maps.shape[dim]
            period = max(2 * size - 2, 1)
            steps = torch.arange(size + padding, device=maps.device) % period
            maps = maps.index_select(dim, torch.minimum(steps, period - steps))
    return maps
