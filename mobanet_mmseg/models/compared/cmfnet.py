"""CMFNet: two VGG16 encoders whose four scales attend to each other, channel by channel."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.cnn.bricks.transformer import FFN
from mmpretrain.models.utils import resize_pos_embed
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.compared.segnet import Pooled, VGGStreams, pool

HEADS = 4
PATCHES = (16, 8, 4, 2)  # sides of a token on the maps of scales 1, 1/2, 1/4 and 1/8, pixels
NORM_EPS = 1e-6


@MODELS.register_module()
class CMFNet(VGGStreams):
    """CMFNet's encoder: two VGG16, a cross-modal and a self transformer over four scales.

    The maps of the first four stages of both encoders go through a transformer in which each
    modality attends to the other, its optical maps through one in which they attend to themselves;
    what comes out is added to the optical maps where the decoder unpools. The fifth maps are
    weighted per channel and added. :class:`SegNetHead` with the same ``order`` is its decoder.

    Source: Ma et al., JSTARS 2022 (10.1109/JSTARS.2022.3165005).

    The public implementation counts 104,074,118 parameters with its decoder for 6 classes, of which
    8,540,800 never get a gradient and are left out: keys and values of all heads but the first,
    whose weights serve the others (4,147,200); what the last cross-modal layer does to the
    auxiliary tokens (3,344,320); gates of the first four stages (698,240); the way back from the
    auxiliary tokens to maps (351,040).

    Args:
        modality_channels: Channels of the optical and of the auxiliary image.
        img_size: Side of the images that the positions are learned for, pixels, a multiple of 16;
            for others they are resized bicubically.
        num_layers: Layers of each transformer.
        base_channels: See :class:`VGG16`.
        order: See :func:`convs`.
        norm_cfg: See :func:`convs`.
        init_cfg: See :class:`VGGStreams`.

    Raises:
        ValueError: If an image has no channels.
    """

    def __init__(
        self,
        modality_channels: Sequence[int] = (3, 1),
        img_size: int = 256,
        num_layers: int = 4,
        base_channels: int = 64,
        order: Sequence[str] = ('conv', 'act', 'norm'),
        norm_cfg: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(modality_channels, base_channels, order, norm_cfg, init_cfg)
        *widths, width = self.rgb.widths
        settings = (widths, img_size // 16, num_layers, norm_cfg or dict(type='BN'))
        self.cross_transformer = ChannelTransformer(2, *settings)
        self.self_transformer = ChannelTransformer(1, *settings)
        self.rgb_gate = ChannelGate(width)
        self.aux_gate = ChannelGate(width)

    def forward(self, inputs: Tensor) -> tuple[Pooled, ...]:
        """Encode a normalised (B, C, H, W) batch; H and W are multiples of 16.

        Returns:
            Each optical stage, pooled, and what the decoder adds to it.
        """
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        rgb_maps, aux_maps, stages = [], [], []
        for rgb_stage, aux_stage in zip(self.rgb.stages[:-1], self.aux.stages[:-1], strict=True):
            rgb_maps.append(rgb_stage(rgb))
            aux_maps.append(aux_stage(aux))
            stages.append(pool(rgb_maps[-1]))
            rgb, aux = stages[-1].map, F.max_pool2d(aux_maps[-1], 2)
        crossed = self.cross_transformer(rgb_maps, aux_maps)
        attended = self.self_transformer(crossed)
        skips = [rgb_map + each for rgb_map, each in zip(rgb_maps, attended, strict=True)]
        stages = [stage._replace(skip=skip) for stage, skip in zip(stages, skips, strict=True)]
        fused = self.rgb_gate(self.rgb.stages[-1](rgb)) + self.aux_gate(self.aux.stages[-1](aux))
        return (*stages, pool(fused, skip=fused))


class ChannelGate(nn.Module):
    """Weighs each channel by what its mean says: one convolution and a sigmoid.

    Args:
        channels: Channels of the map.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Weigh the channels of a (B, C, h, w) map."""
        return inputs * self.conv(inputs.mean(dim=(2, 3), keepdim=True)).sigmoid()


class ChannelTransformer(nn.Module):
    """From maps of four scales to as many tokens of each, through layers, and back to maps.

    Args:
        num_streams: Modalities: each of two attends to the other, a single one to itself.
        widths: Channels of each scale.
        grid: Tokens in a row and in a column of the images that the positions are learned for.
        num_layers: Layers.
        norm_cfg: Config of the maps' norm.
    """

    def __init__(
        self, num_streams: int, widths: Sequence[int], grid: int, num_layers: int, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(Embedding(widths, grid) for _ in range(num_streams))
        self.layers = nn.ModuleList(
            Layer(num_streams, widths, last=number == num_layers - 1)
            for number in range(num_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width, NORM_EPS) for width in widths)
        self.reconstructions = nn.ModuleList(
            ConvModule(width, width, 1, bias=True, norm_cfg=norm_cfg) for width in widths
        )

    def forward(self, *maps: Sequence[Tensor]) -> list[Tensor]:
        """Attend.

        Args:
            *maps: (B, C, H, W), (B, 2C, H / 2, W / 2), ... of each stream.

        Returns:
            Maps of the first stream, of the same shapes.
        """
        tokens = [embed(each) for embed, each in zip(self.embeddings, maps, strict=True)]
        for layer in self.layers:
            tokens = layer(tokens)
        outputs = []
        for patch, scale, before, norm, reconstruction in zip(
            PATCHES, tokens[0], maps[0], self.norms, self.reconstructions, strict=True
        ):
            grid = tuple(side // patch for side in before.shape[-2:])
            coarse = norm(scale).transpose(1, 2).unflatten(2, grid)
            outputs.append(before + reconstruction(F.interpolate(coarse, size=before.shape[-2:])))
        return outputs


class Embedding(nn.Module):
    """As many tokens of each scale, with learned positions that start at 0.

    Args:
        widths: Channels of each scale.
        grid: Tokens in a row and in a column of the images that the positions are learned for.
    """

    def __init__(self, widths: Sequence[int], grid: int) -> None:
        super().__init__()
        self.grid = (grid, grid)
        self.projections = nn.ModuleList(
            nn.Conv2d(width, width, patch, patch)
            for width, patch in zip(widths, PATCHES, strict=True)
        )
        self.positions = nn.ParameterList(torch.zeros(1, grid**2, width) for width in widths)
        self.dropout = nn.Dropout(0.1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Turn the (B, C, H, W) map of each scale into (B, N, C) tokens."""
        tokens = []
        for each, projection, positions in zip(maps, self.projections, self.positions, strict=True):
            embedded = projection(each)
            grid = tuple(embedded.shape[-2:])
            positions = resize_pos_embed(positions, self.grid, grid, num_extra_tokens=0)
            tokens.append(self.dropout(embedded.flatten(2).transpose(1, 2) + positions))
        return tokens


class Layer(nn.Module):
    """One layer: each stream attends to the other, or the only one to itself.

    Args:
        num_streams: 1 or 2.
        widths: Channels of each scale.
        last: Whether only the first stream is wanted.
    """

    def __init__(self, num_streams: int, widths: Sequence[int], last: bool) -> None:
        super().__init__()
        self.streams = nn.ModuleList(
            Stream(
                widths,
                attends=not last or number == 0,
                attended=not last or number == num_streams - 1,
            )
            for number in range(num_streams)
        )

    def forward(self, tokens: Sequence[list[Tensor]]) -> list[list[Tensor]]:
        """Update the (B, N, C) tokens of each scale, for each stream that attends."""
        joint = [stream.join(each) for stream, each in zip(self.streams, tokens, strict=True)]
        keys = [
            None if stream.key is None else stream.key(each)
            for stream, each in zip(self.streams, joint, strict=True)
        ]
        return [
            stream(tokens[number], keys[number - 1], stream.value(joint[number]))  # -1 of 1: itself
            for number, stream in enumerate(self.streams)
            if stream.value is not None
        ]


class Stream(nn.Module):
    r"""What a modality has in a layer: attention between channels, over all tokens.

    A head takes its quarter of each scale's channels. With K and V the quarters of all scales side
    by side, C' channels, Q those of one scale, C channels, and IN the instance norm of a matrix:

    .. math:: \text{softmax}\left(\text{IN}(Q^T K / \sqrt{4 C'})\right) V^T \in R^{C \times N}

    Between modalities Q and V are one's own, and K is the other's. One key and one value projection
    serve all heads.

    Args:
        widths: Channels of each scale.
        attends: Whether its tokens are updated: it has queries and values.
        attended: Whether tokens are updated by its keys.
    """

    def __init__(self, widths: Sequence[int], attends: bool, attended: bool) -> None:
        super().__init__()
        total = sum(widths)
        self.widths = list(widths)
        self.norm = nn.LayerNorm(total, NORM_EPS)
        quarter = total // HEADS
        self.key = nn.Linear(quarter, quarter, bias=False) if attended else None
        self.value = nn.Linear(quarter, quarter, bias=False) if attends else None
        self.scales = nn.ModuleList(Scale(width, total) for width in widths if attends)

    def join(self, tokens: Sequence[Tensor]) -> Tensor:
        """Normalise (B, N, C) tokens of all scales together; (B, heads, N, C') for the heads."""
        scales = self.norm(torch.cat(list(tokens), dim=-1)).split(self.widths, dim=-1)
        return torch.cat([_by_head(scale) for scale in scales], dim=-1)

    def forward(self, tokens: Sequence[Tensor], keys: Tensor, values: Tensor) -> list[Tensor]:
        """Update (B, N, C) tokens of each scale by (B, heads, N, C') keys and values."""
        return [scale(each, keys, values) for scale, each in zip(self.scales, tokens, strict=True)]


class Scale(nn.Module):
    """What a modality has for one scale in a layer: queries, and an MLP.

    Args:
        channels: Channels of the scale.
        total: Channels of all scales.
    """

    def __init__(self, channels: int, total: int) -> None:
        super().__init__()
        quarter = channels // HEADS
        self.scale = total**-0.5
        self.norm = nn.LayerNorm(channels, NORM_EPS)
        self.queries = nn.ModuleList(nn.Linear(quarter, quarter, bias=False) for _ in range(HEADS))
        self.similarity_norm = nn.InstanceNorm2d(HEADS)
        self.dropout = nn.Dropout(0.1)
        self.output = nn.Linear(channels, channels, bias=False)
        self.ffn_norm = nn.LayerNorm(channels, NORM_EPS)
        self.ffn = FFN(channels, 4 * channels, act_cfg=dict(type='GELU'), ffn_drop=0.1)

    def forward(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Update (B, N, C) tokens by (B, heads, N, C') keys and values."""
        heads = _by_head(self.norm(tokens)).unbind(dim=1)
        queries = [query(head) for query, head in zip(self.queries, heads, strict=True)]
        similarity = torch.stack(queries, dim=1).transpose(2, 3) @ keys * self.scale
        weights = self.dropout(self.similarity_norm(similarity).softmax(dim=-1))
        attended = weights @ values.transpose(2, 3)  # (B, heads, C / heads, N)
        attended = attended.permute(0, 3, 2, 1).flatten(2)  # of a channel's place, all heads' first
        tokens = tokens + self.output(attended)
        return self.ffn(self.ffn_norm(tokens), identity=tokens)


def _by_head(tokens: Tensor) -> Tensor:
    """Give each head its quarter of (B, N, C) tokens: (B, heads, N, C / heads)."""
    return tokens.unflatten(-1, (HEADS, -1)).transpose(1, 2)
