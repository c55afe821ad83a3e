"""MANet: SAM's frozen encoder for both modalities, tuned by multimodal adapters or LoRA."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule, ModuleList
from mmpretrain.models.utils import LayerNorm2d
from mmseg.models.necks import Feature2Pyramid
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.compared.se_fusion import SEFusion
from mobanet_mmseg.models.frozen_streams import FrozenStreams
from mobanet_mmseg.models.sam import SAM, attend_in_windows


@MODELS.register_module()
class MANet(FrozenStreams):
    """Two streams through SAM's frozen encoder, whose blocks are tuned with both in view.

    A block's attention is tuned per modality, its perceptron by a learned mixture of both. Each
    stream's last map makes a pyramid of strides 4, 8, 16 and 32, whose levels are fused by
    :class:`SEFusion`. UNetFormer's decoder follows. The auxiliary image goes through the frozen
    patch embedding: one channel is repeated to three.

    Source: A Unified Framework with Multimodal Fine-tuning for Remote Sensing Semantic
    Segmentation, X. Ma et al., IEEE Transactions on Geoscience and Remote Sensing 63 (2025),
    doi:10.1109/TGRS.2025.3585238, arXiv:2410.11160 (MANet in its first version, MFNet since).

    Args:
        encoder: Config of a :class:`SAM`; the published one keeps SAM's neck (``neck_channels``).
        modality_channels: Channels of the optical (3) and of the auxiliary image (1 or 3).
        tuning: ``'adapter'`` (MMAdapter) or ``'lora'`` (MMLoRA).
        norm_cfg: Config of the norm in the auxiliary pyramid; ``None`` is batch norm. That of the
            optical one is a layer norm.
        allow_random_encoder: Run without pretrained weights, for demos and tests.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: If the encoder is not SAM's, the channels do not fit, or ``tuning`` is neither
            of the two.
    """

    def __init__(
        self,
        encoder: dict,
        modality_channels: Sequence[int] = (3, 1),
        tuning: Literal['adapter', 'lora'] = 'adapter',
        norm_cfg: dict | None = None,
        allow_random_encoder: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(encoder, modality_channels, allow_random_encoder, init_cfg)
        self._check_config(tuning)
        blocks, channels = self.encoder.vit.layers, self.encoder.out_channels
        tuner = {'adapter': MMAdapter, 'lora': MMLoRA}[tuning]
        self.tuners = ModuleList(tuner(block) for block in blocks)
        layer_norm = dict(type=LayerNorm2d, eps=1e-6)
        self.pyramid_rgb = Feature2Pyramid(channels, norm_cfg=layer_norm)
        self.pyramid_aux = Feature2Pyramid(channels, norm_cfg=norm_cfg or dict(type='BN'))
        self.fusions = ModuleList(SEFusion(channels) for _ in range(4))

    def _check_config(self, tuning: str) -> None:
        if not isinstance(self.encoder, SAM):
            raise ValueError(
                f'MANet got a {type(self.encoder).__name__} as its encoder; it tunes the blocks of '
                "SAM: write encoder=dict(type='SAM', ...)."
            )
        if self.modality_channels[1] not in (1, 3):
            raise ValueError(
                f'MANet got modality_channels={self.modality_channels}; its frozen patch embedding '
                'takes an auxiliary image of 1 or 3 channels: choose aux_bands accordingly.'
            )
        if tuning not in ('adapter', 'lora'):
            raise ValueError(f"MANet got tuning={tuning!r}; it is 'adapter' or 'lora'.")

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """Encode a stacked batch.

        Args:
            inputs: (B, C, H, W) with values of 0 to 1; H and W are multiples of the patch size.

        Returns:
            Four fused (B, C, h_s, w_s) maps of 1/4, 1/8, 1/16 and 1/32 of the image's size.

        Raises:
            RuntimeError: If the encoder never got weights and ``allow_random_encoder`` is not set.
            ValueError: If the channels or the size do not fit.
        """
        self.check(inputs)
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        aux = aux.repeat(1, 3 // aux.shape[1], 1, 1)
        patches = self.encoder.projection(torch.cat([rgb, aux]))  # (2B, C, h, w)
        grid = tuple(patches.shape[-2:])
        maps = self.encoder.add_positions(patches).unflatten(1, grid)
        for block, tuner in zip(self.encoder.vit.layers, self.tuners, strict=True):
            maps = tuner(block, maps)
        rgb, aux = self.encoder.tap(maps.flatten(1, 2), grid).chunk(2)
        levels = zip(self.pyramid_rgb([rgb] * 4), self.pyramid_aux([aux] * 4), strict=True)
        return tuple(fuse(*level) for fuse, level in zip(self.fusions, levels, strict=True))


class MMAdapter(BaseModule):
    r"""Tunes one frozen block by adapters: one per modality, then a mixture of both.

    .. math::
        X &\leftarrow X + A + a_x(A), \quad A = \mathrm{attend}(\mathrm{LN}(X)) \\
        X &\leftarrow X + \mathrm{MLP}(X') + w_x\, b_x(X') + (1 - w_x)\, b_y(Y')

    with X' = LN(X), adapters a and b, and the same for Y of the other modality.

    Source: MANet (arXiv:2410.11160).

    Args:
        block: The block of ``mmpretrain.ViTSAM`` that it is for; it stays outside.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        dims = block.embed_dims
        self.attention_rgb, self.attention_aux = Adapter(dims), Adapter(dims)
        self.mlp_rgb, self.mlp_aux = Adapter(dims), Adapter(dims)
        self.mixture = Mixture()

    def forward(self, block: nn.Module, maps: Tensor) -> Tensor:
        """Run the block on (2B, h, w, C) maps, the optical ones first; the shape stays."""
        attended = attend_in_windows(block, block.ln1(maps))
        rgb, aux = attended.chunk(2)
        maps = maps + attended + torch.cat([self.attention_rgb(rgb), self.attention_aux(aux)])
        inputs = block.ln2(maps)
        rgb, aux = inputs.chunk(2)
        mixed = self.mixture(self.mlp_rgb(rgb), self.mlp_aux(aux))
        return block.ffn(inputs, identity=maps) + mixed


class MMLoRA(BaseModule):
    r"""Tunes one frozen block by low-rank changes of its linear layers.

    Queries and values change per modality, the two layers of the perceptron by a mixture of both.

    .. math::
        q_x &= W_q X' + B_x A_x X' / r, \quad v_x \text{ likewise} \\
        h_x &= W X' + w_x\, B'_x A'_x X' + (1 - w_x)\, B'_y A'_y Y'

    with X' = LN(X), and the same for Y of the other modality.

    Source: MANet (arXiv:2410.11160); LoRA (arXiv:2106.09685).

    Args:
        block: The block of ``mmpretrain.ViTSAM`` that it is for; it stays outside.
        rank: Rank r of the changes.
    """

    def __init__(self, block: nn.Module, rank: int = 4) -> None:
        super().__init__()
        dims, hidden = block.embed_dims, block.ffn.feedforward_channels
        self.rank = rank
        self.attention_rgb, self.attention_aux = (LowRank(dims, rank, dims, 2) for _ in range(2))
        self.first_rgb, self.first_aux = LowRank(dims, rank, hidden), LowRank(dims, rank, hidden)
        self.second_rgb, self.second_aux = LowRank(hidden, rank, dims), LowRank(hidden, rank, dims)
        self.first_mixture, self.second_mixture = Mixture(), Mixture()

    def forward(self, block: nn.Module, maps: Tensor) -> Tensor:
        """Run the block on (2B, h, w, C) maps, the optical ones first; the shape stays."""
        maps = maps + attend_in_windows(block, block.ln1(maps), self._change)
        inputs = block.ln2(maps)
        (first, activate, drop), second, drop_out = block.ffn.layers
        rgb, aux = inputs.chunk(2)
        mixed = self.first_mixture(self.first_rgb(rgb), self.first_aux(aux))
        hidden = drop(activate(first(inputs) + mixed))
        rgb, aux = hidden.chunk(2)
        mixed = self.second_mixture(self.second_rgb(rgb), self.second_aux(aux))
        return maps + drop_out(second(hidden) + mixed)

    def _change(self, windows: Tensor) -> Tensor:
        """Change queries and values: (2B, h, w, C) to (2B, h, w, 3 C)."""
        rgb, aux = windows.chunk(2)
        changes = torch.cat([self.attention_rgb(rgb), self.attention_aux(aux)]) / self.rank
        query, value = changes.chunk(2, dim=-1)
        return torch.cat([query, torch.zeros_like(query), value], dim=-1)


class Adapter(nn.Sequential):
    """A perceptron with a narrow middle.

    Args:
        dims: Channels C of its input and output.
    """

    def __init__(self, dims: int) -> None:
        super().__init__(nn.Linear(dims, dims // 4), nn.GELU(), nn.Linear(dims // 4, dims))


class LowRank(nn.Module):
    """Linear maps of low rank, which start as zero.

    Args:
        in_dims: Channels of their input.
        rank: Their rank.
        out_dims: Channels of each one's output.
        num_maps: How many there are; their outputs follow one another.
    """

    def __init__(self, in_dims: int, rank: int, out_dims: int, num_maps: int = 1) -> None:
        super().__init__()
        self.num_maps = num_maps
        self.down = nn.Parameter(torch.empty(num_maps * rank, in_dims))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)  # as nn.Linear
        # training starts from SAM's features
        self.up = nn.Parameter(torch.zeros(num_maps * out_dims, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map (..., in_dims) to (..., num_maps * out_dims)."""
        hidden = F.linear(inputs, self.down).chunk(self.num_maps, dim=-1)
        return torch.cat(list(map(F.linear, hidden, self.up.chunk(self.num_maps))), dim=-1)


class Mixture(nn.Module):
    """Mixes what two modalities have learned, by a learned number for each."""

    def __init__(self) -> None:
        super().__init__()
        self.rgb = nn.Parameter(torch.tensor(0.5))
        self.aux = nn.Parameter(torch.tensor(0.5))

    def forward(self, rgb: Tensor, aux: Tensor) -> Tensor:
        """Mix two (B, ...) tensors into (2B, ...), the optical one first."""
        return torch.cat(
            [self.rgb * rgb + (1 - self.rgb) * aux, self.aux * aux + (1 - self.aux) * rgb]
        )
