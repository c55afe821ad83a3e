"""FTransUNet: two hybrid ViTs, whose maps are fused on the way and whose tokens attend mutually."""

from collections.abc import Sequence
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule, ModuleList
from mmpretrain.models.utils import resize_pos_embed
from mmseg.models.backbones.resnet import Bottleneck
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.compared.se_fusion import SEFusion
from mobanet_mmseg.weights.channels import with_channels
from mobanet_mmseg.weights.checkpoints import mismatches, shapes_of
from mobanet_mmseg.weights.files import CheckpointError, read_tensors
from mobanet_mmseg.weights.jax_names import from_jax


class StdConv2d(nn.Conv2d):
    """A convolution whose filters each have mean 0 and variance 1.

    Source: Weight Standardization (arXiv:1903.10520).
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        weight = F.layer_norm(self.weight, self.weight.shape[1:], eps=1e-5)
        return self._conv_forward(inputs, weight, self.bias)


CONV_CFG = dict(type=StdConv2d)
NORM_CFG = dict(type='GN', num_groups=32, eps=1e-6)


@MODELS.register_module()
class FTransUNet(BaseModule):
    """A ResNet-50 and a ViT-B/16 per modality.

    After its stem and each of its three stages the optical map becomes the fusion of both
    (:class:`SEFusion`); the auxiliary one stays itself. The tokens of both streams attend to
    themselves, in the layers ``mutual_layers`` to each other's too, and are added at the end.

    Source: FTransUNet, X. Ma et al., IEEE Transactions on Geoscience and Remote Sensing 62 (2024),
    doi:10.1109/TGRS.2024.3373033; TransUNet (arXiv:2102.04306).

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        img_size: Side of the images that the position embedding is for, pixels; it is resized to
            those of others.
        base_channels: Channels of the stem; stages have 4, 8 and 16 times as many.
        depths: Units of the three stages.
        embed_dims: Channels C of a token.
        num_layers: Transformer layers.
        num_heads: Heads of the attention.
        mutual_layers: First and last of the layers in which the streams attend to each other.
        drop_rate: Probability of the dropout of tokens and perceptrons.
        init_cfg: ``dict(type='Pretrained', checkpoint='R50+ViT-B_16.npz')``, whose weights both
            streams get; or mmengine's initialisation config.
    """

    def __init__(
        self,
        modality_channels: Sequence[int] = (3, 1),
        img_size: int = 256,
        base_channels: int = 64,
        depths: Sequence[int] = (3, 4, 9),
        embed_dims: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        mutual_layers: tuple[int, int] = (3, 8),
        drop_rate: float = 0.1,
        init_cfg: dict | None = None,
    ) -> None:
        pretrained = init_cfg is not None and init_cfg.get('type') == 'Pretrained'
        super().__init__(None if pretrained else init_cfg)
        self.pretrained = init_cfg['checkpoint'] if pretrained else None
        self.modality_channels = tuple(modality_channels)
        self.rgb, self.aux = (
            HybridViT(channels, base_channels, depths, embed_dims, num_layers, num_heads, drop_rate)
            for channels in self.modality_channels
        )
        widths = (base_channels, *(4 * base_channels * 2**stage for stage in range(3)))
        self.fusions = ModuleList(SEFusion(channels) for channels in widths)
        self.grid = (img_size // 16, img_size // 16)
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], embed_dims))
        self.dropout = nn.Dropout(drop_rate)
        first, last = mutual_layers
        self.mixtures = ModuleList(
            Mutual() if first <= layer <= last else Apart() for layer in range(num_layers)
        )

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Encode a stacked batch.

        Args:
            inputs: (B, C, H, W); H and W are multiples of 16.

        Returns:
            Four (B, C_s, h_s, w_s) maps of 1/2, 1/4, 1/8 and 1/16 of the image's size: the fused
            ones and, last, the tokens.
        """
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        rgb, aux = self.rgb.root(rgb), self.aux.root(aux)
        maps = [rgb := self.fusions[0](rgb, aux)]
        rgb, aux = (F.max_pool2d(stream, 3, 2) for stream in (rgb, aux))
        stages = zip(self.rgb.stages, self.aux.stages, self.fusions[1:], strict=True)
        for for_rgb, for_aux, fuse in stages:
            rgb, aux = for_rgb(rgb), for_aux(aux)
            maps.append(rgb := fuse(rgb, aux))
        maps[1] = F.pad(maps[1], (0, 1, 0, 1))  # what the pooling without padding took
        return (*maps[:3], self._attend(rgb, aux))

    def _attend(self, rgb: Tensor, aux: Tensor) -> Tensor:
        grid = tuple(rgb.shape[-2:])
        positions = resize_pos_embed(self.pos_embed, self.grid, grid, num_extra_tokens=0)
        rgb, aux = (
            self.dropout(stream.embed(maps).flatten(2).transpose(1, 2) + positions)
            for stream, maps in ((self.rgb, rgb), (self.aux, aux))
        )
        for for_rgb, for_aux, mixture in zip(
            self.rgb.layers, self.aux.layers, self.mixtures, strict=True
        ):
            seen, seen_aux = for_rgb.project(rgb), for_aux.project(aux)
            rgb_attended, aux_attended = mixture(for_rgb, for_aux, seen, seen_aux)
            rgb, aux = for_rgb.finish(rgb, rgb_attended), for_aux.finish(aux, aux_attended)
        tokens = self.rgb.norm(rgb) + self.aux.norm(aux)
        return tokens.transpose(1, 2).unflatten(2, grid)

    def init_weights(self) -> None:
        """Load the configured weights into both streams, or draw random ones.

        The auxiliary stem gets the mean over the channels of the optical one.

        Raises:
            FileNotFoundError: If the file can be neither found nor fetched.
            CheckpointError: If it is none of arrays, or a tensor is missing, left over or of
                another shape.
        """
        super().init_weights()
        if self.pretrained is None:
            return
        tensors = from_jax(read_tensors(self.pretrained, setting='model.backbone.init_cfg'))
        found = mismatches(shapes_of(tensors), self._pretrained_shapes(tensors))
        if found:
            raise CheckpointError(
                f'The weights of {self.pretrained} do not fit FTransUNet as the config has it '
                f'({found}): give the file of this architecture, or the config of this file.'
            )
        positions = tensors.pop('pos_embed')
        side = isqrt(positions.shape[1])
        extra = positions.shape[1] - side**2  # that of the class token
        self.pos_embed.data.copy_(
            resize_pos_embed(positions[:, extra:], (side, side), self.grid, num_extra_tokens=0)
        )
        self.rgb.load_state_dict(tensors)
        root = 'root.conv.weight'
        tensors[root] = with_channels(tensors[root], self.modality_channels[1])
        self.aux.load_state_dict(tensors)

    def _pretrained_shapes(self, tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """Shapes that a file has to have; positions may be of any grid."""
        own = shapes_of(self.rgb.state_dict())
        given = tensors.get('pos_embed')
        count = self.pos_embed.shape[1] if given is None or given.ndim != 3 else given.shape[1]
        return {**own, 'pos_embed': (1, count, self.pos_embed.shape[2])}


class HybridViT(BaseModule):
    """The parts of one stream; :class:`FTransUNet` runs them, for they take turns.

    Source: An Image is Worth 16x16 Words (arXiv:2010.11929), its hybrid of ResNet and ViT.

    Args:
        in_channels: Channels of the image.
        base_channels: Channels of the stem.
        depths: Units of each stage.
        embed_dims: Channels C of a token.
        num_layers: Transformer layers.
        num_heads: Heads of the attention.
        drop_rate: Probability of the dropout in the perceptrons.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        depths: Sequence[int],
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        drop_rate: float,
    ) -> None:
        super().__init__()
        self.root = ConvModule(
            in_channels, base_channels, 7, 2, 3, conv_cfg=CONV_CFG, norm_cfg=NORM_CFG
        )
        self.stages, channels = ModuleList(), base_channels
        for stage, depth in enumerate(depths):
            self.stages.append(
                make_stage(channels, base_channels * 2**stage, depth, stride=2 if stage else 1)
            )
            channels = 4 * base_channels * 2**stage
        self.embed = nn.Conv2d(channels, embed_dims, 1)
        self.layers = ModuleList(
            TransformerLayer(embed_dims, num_heads, drop_rate) for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)


def make_stage(in_channels: int, channels: int, depth: int, stride: int) -> nn.Sequential:
    """Build a stage of a ResNet with standardised weights and group norms.

    Args:
        in_channels: Channels of its input.
        channels: Channels inside of a unit, a quarter of those of its output.
        depth: Its units.
        stride: Stride of the first.
    """
    out_channels = 4 * channels
    shortcut = nn.Sequential(
        StdConv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.GroupNorm(out_channels, out_channels),
    )
    config = dict(conv_cfg=CONV_CFG, norm_cfg=NORM_CFG)
    first = Bottleneck(in_channels, channels, stride, downsample=shortcut, **config)
    others = (Bottleneck(out_channels, channels, **config) for _ in range(depth - 1))
    return nn.Sequential(first, *others)


class TransformerLayer(BaseModule):
    """One stream's part of a layer: what :class:`Apart` and :class:`Mutual` attend with.

    Source: An Image is Worth 16x16 Words (arXiv:2010.11929).

    Args:
        embed_dims: Channels C of a token.
        num_heads: Heads of the attention.
        drop_rate: Probability of the dropout in the perceptron.
    """

    def __init__(self, embed_dims: int, num_heads: int, drop_rate: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm1 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.query = nn.Linear(embed_dims, embed_dims)
        self.key = nn.Linear(embed_dims, embed_dims)
        self.value = nn.Linear(embed_dims, embed_dims)
        self.out = nn.Linear(embed_dims, embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.ffn = FFN(embed_dims, 4 * embed_dims, act_cfg=dict(type='GELU'), ffn_drop=drop_rate)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Turn (B, N, C) tokens into queries, keys and values, (B, heads, N, c) each."""
        normalised = self.norm1(tokens)
        query, key, value = (
            project(normalised).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attend with (B, heads, N, c) queries, keys and values; (B, N, C)."""
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).flatten(2))

    def finish(self, tokens: Tensor, attended: Tensor) -> Tensor:
        """Add to (B, N, C) tokens what they attended to, and what the perceptron makes of it."""
        tokens = tokens + attended
        return self.ffn(self.norm2(tokens), identity=tokens)


Projected = tuple[Tensor, Tensor, Tensor]


class Apart(nn.Module):
    """Each stream attends to itself."""

    def forward(
        self, rgb: TransformerLayer, aux: TransformerLayer, of_rgb: Projected, of_aux: Projected
    ) -> tuple[Tensor, Tensor]:
        """Attend with each stream's layer; two (B, N, C) tensors."""
        return rgb.attend(*of_rgb), aux.attend(*of_aux)


class Mutual(nn.Module):
    r"""Each stream attends to itself and to the other, weighed by learned numbers.

    .. math::
        A_x = w_{11}\, \mathrm{attend}(Q_x, K_x, V_x) + w_{12}\, \mathrm{attend}(Q_x, K_y, V_y)

    Source: FTransUNet (doi:10.1109/TGRS.2024.3373033).
    """

    def __init__(self) -> None:
        super().__init__()
        self.rgb_self, self.rgb_cross, self.aux_self, self.aux_cross = (
            nn.Parameter(torch.tensor(0.5)) for _ in range(4)
        )

    def forward(
        self, rgb: TransformerLayer, aux: TransformerLayer, of_rgb: Projected, of_aux: Projected
    ) -> tuple[Tensor, Tensor]:
        """Attend with each stream's layer; two (B, N, C) tensors."""
        (rgb_query, *rgb_memory), (aux_query, *aux_memory) = of_rgb, of_aux
        return (
            self.rgb_self * rgb.attend(rgb_query, *rgb_memory)
            + self.rgb_cross * rgb.attend(rgb_query, *aux_memory),
            self.aux_self * aux.attend(aux_query, *aux_memory)
            + self.aux_cross * aux.attend(aux_query, *rgb_memory),
        )


@MODELS.register_module()
class FTransUNetHead(BaseDecodeHead):
    """The decoder of FTransUNet: a U-Net's, from tokens back to the size of the image.

    Source: FTransUNet (doi:10.1109/TGRS.2024.3373033); TransUNet (arXiv:2102.04306).

    Args:
        in_channels: Channels of the maps of strides 2, 4, 8 and 16.
        channels: Channels at the size of the image.
        decoder_channels: Channels of the first convolution, then at strides 8, 4 and 2.
        in_index: Places of the four maps among those of the backbone.
        norm_cfg: Config of the norms; ``None`` is batch norm.
        dropout_ratio: Probability of the dropout before the classifier; the network has none.
        **kwargs: Passed to ``BaseDecodeHead``.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (64, 256, 512, 768),
        channels: int = 16,
        decoder_channels: Sequence[int] = (512, 256, 128, 64),
        in_index: Sequence[int] = (0, 1, 2, 3),
        norm_cfg: dict | None = None,
        dropout_ratio: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            in_channels,
            channels,
            in_index=in_index,
            input_transform='multiple_select',
            norm_cfg=norm_cfg or dict(type='BN'),
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        *skips, tokens = in_channels
        widths = (*decoder_channels, channels)
        self.reduce = self._conv(tokens, widths[0])
        self.blocks = ModuleList(
            nn.Sequential(self._conv(below + skip, width), self._conv(width, width))
            for below, skip, width in zip(widths, (*reversed(skips), 0), widths[1:], strict=False)
        )
        self.conv_seg = nn.Conv2d(channels, self.out_channels, 3, padding=1)

    def _conv(self, in_channels: int, channels: int) -> ConvModule:
        return ConvModule(in_channels, channels, 3, padding=1, norm_cfg=self.norm_cfg)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Decode the four maps of :class:`FTransUNet` into (B, K, H, W) logits."""
        *skips, maps = self._transform_inputs(inputs)
        maps = self.reduce(maps)
        for block, skip in zip(self.blocks, (*reversed(skips), None), strict=True):
            maps = F.interpolate(maps, scale_factor=2, mode='bilinear', align_corners=True)
            maps = block(maps if skip is None else torch.cat([maps, skip], dim=1))
        return self.cls_seg(maps)
