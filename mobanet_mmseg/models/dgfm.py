"""Difference-guided gated fusion: one stage, and the neck that holds one per stage."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn


class DGFM(BaseModule):
    r"""Difference-guided gated fusion of one stage.

    A gate learned from both modalities and from how far they disagree weighs them per pixel and
    channel.

    .. math:: G = \sigma(f([R'; A'; |R' - A'|])), \quad F = G \odot R + (1 - G) \odot A

    Source: MoBaNet (arXiv:2603.17705), Eq. 12-16.

    Args:
        embed_dims: Channels C of both maps.
        reduction: Channels are reduced to ``max(32, C // reduction)`` before the gate.

    Raises:
        ValueError: If ``reduction`` is below 1.
    """

    def __init__(self, embed_dims: int, reduction: int = 8) -> None:
        super().__init__()
        if reduction < 1:
            raise ValueError(
                f'DGFM got reduction={reduction}; it divides the channels: at least 1.'
            )
        reduced = max(32, embed_dims // reduction)
        self.reduce_rgb = nn.Conv2d(embed_dims, reduced, 1, bias=False)
        self.reduce_aux = nn.Conv2d(embed_dims, reduced, 1, bias=False)
        self.gate = nn.Sequential(
            nn.Conv2d(3 * reduced, reduced, 1, bias=False),
            nn.GroupNorm(1, reduced),
            nn.GELU(),
            nn.Conv2d(reduced, embed_dims, 1),
        )
        nn.init.zeros_(self.gate[-1].weight)  # sigmoid(0): training starts from the plain average
        nn.init.zeros_(self.gate[-1].bias)

    def forward(self, rgb: Tensor, aux: Tensor) -> Tensor:
        """Fuse two (B, C, h, w) maps into one of the same shape."""
        reduced_rgb, reduced_aux = self.reduce_rgb(rgb), self.reduce_aux(aux)
        cues = torch.cat([reduced_rgb, reduced_aux, (reduced_rgb - reduced_aux).abs()], dim=1)
        gate = self.gate(cues).sigmoid()
        return torch.lerp(aux, rgb, gate.to(aux.dtype))  # G * R + (1 - G) * A, keeping no product


class Average(nn.Module):
    """Plain average of the two maps: Table IV's model without DGFM."""

    def forward(self, rgb: Tensor, aux: Tensor) -> Tensor:
        """Average two (B, C, h, w) maps."""
        return (rgb + aux) / 2


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of a (B, C, h, w) map."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalise a (B, C, h, w) map at each pixel."""
        return super().forward(inputs.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


@MODELS.register_module()
class DGFMNeck(BaseModule):
    """Fuses the two streams' maps stage by stage and projects them for the heads.

    Stage s gives ``projection_s(norm_s(DGFM_s(rgb_s, aux_s)))``. The unimodal maps of stage 0 go
    through the projection of the same stage, so that the auxiliary heads train it too.

    Source: MoBaNet (arXiv:2603.17705), Sec. III-C and III-D.

    Args:
        in_channels: Channels C of the maps; one number for all stages, or one per stage.
        out_channels: Channels of every output map.
        num_stages: Stages, where ``in_channels`` is one number.
        gated: Fuse by DGFM; ``False`` averages, without a norm (Table IV's Base and + CPIA).
        reduction: See :class:`DGFM`.
        unimodal: Give the unimodal maps, too; ``False`` for heads or necks that take S maps.
        init_cfg: mmengine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        num_stages: int = 4,
        gated: bool = True,
        reduction: int = 8,
        unimodal: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.unimodal = unimodal
        widths = [in_channels] * num_stages if isinstance(in_channels, int) else list(in_channels)
        self.fusions = nn.ModuleList(
            DGFM(width, reduction) if gated else Average() for width in widths
        )
        self.norms = nn.ModuleList(
            ChannelNorm(width) if gated else nn.Identity() for width in widths
        )
        self.projections = nn.ModuleList(
            nn.Conv2d(width, out_channels, 1, bias=False) for width in widths
        )

    def forward(self, inputs: tuple[Sequence[Tensor], Sequence[Tensor]]) -> tuple[Tensor, ...]:
        """Fuse the streams' maps.

        Args:
            inputs: ``(rgb_maps, aux_maps)``, S maps (B, C_s, h_s, w_s) each.

        Returns:
            S fused maps (B, out_channels, h_s, w_s), then, if ``unimodal``, the rgb and the aux map
            of stage 0.

        Raises:
            ValueError: If the number of maps is not the number of stages.
        """
        rgb_maps, aux_maps = inputs
        if len(rgb_maps) != len(self.fusions) or len(aux_maps) != len(self.fusions):
            raise ValueError(
                f'DGFMNeck has {len(self.fusions)} stages but got {len(rgb_maps)} rgb and '
                f'{len(aux_maps)} aux maps: make num_stages the number of out_indices.'
            )
        fused = [
            project(norm(fuse(rgb, aux)))
            for project, norm, fuse, rgb, aux in zip(
                self.projections, self.norms, self.fusions, rgb_maps, aux_maps, strict=True
            )
        ]
        if not self.unimodal:
            return tuple(fused)
        first = self.projections[0]
        return (*fused, first(rgb_maps[0]), first(aux_maps[0]))
