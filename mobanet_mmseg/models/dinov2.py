"""DINOv2's encoder, with or without registers."""

from math import isqrt

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.once_a_grid import once_a_grid
from mobanet_mmseg.models.resizing import resize_positions

ARCHS = {
    'small': dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536),
    'base': dict(embed_dims=768, num_layers=12, num_heads=12, feedforward_channels=3072),
    'large': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
    'giant': dict(
        embed_dims=1536,
        num_layers=40,
        num_heads=24,
        feedforward_channels=6144,
        ffn_type='swiglu_fused',
    ),
}


@MODELS.register_module()
class DINOv2(Encoder):
    """DINOv2's ViT.

    Positions of another grid are resized as DINOv2 does: bicubically; without registers by the
    scale ``(size + 0.1) / native``, with registers to the size itself and antialiased. Registers
    have no position; they stand between CLS and the patches.

    Source: DINOv2 (arXiv:2304.07193); registers: arXiv:2309.16588.

    Args:
        arch: ``'small'``, ``'base'``, ``'large'``, ``'giant'``, or a dict of ``embed_dims``,
            ``num_layers``, ``num_heads``, ``feedforward_channels`` and, for the SwiGLU of ViT-g,
            ``ffn_type='swiglu_fused'``.
        img_size: Size of the images that the position embedding is for, pixels.
        patch_size: Side of a patch, pixels.
        num_registers: Register tokens.
        layer_scale_init_value: Where LayerScale starts without weights; 0 leaves it out.
        init_cfg: See :class:`Encoder`.

    Raises:
        ValueError: If ``arch`` is no size of DINOv2, or its heads do not divide its channels.
    """

    licence = 'Apache-2.0'
    POSITION_OFFSET = 0.1

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 518,
        patch_size: int = 14,
        num_registers: int = 0,
        layer_scale_init_value: float = 1e-5,
        init_cfg: dict | None = None,
    ) -> None:
        if isinstance(arch, str) and arch not in ARCHS:
            raise ValueError(f'DINOv2 got arch={arch!r}; it is {", ".join(ARCHS)}, or a dict.')
        settings = dict(ARCHS[arch] if isinstance(arch, str) else arch)
        ffn_type = settings.pop('ffn_type', 'origin')
        if settings['embed_dims'] % settings['num_heads']:  # mmpretrain would fail when it runs
            raise ValueError(
                f'DINOv2 got arch={settings}, whose embed_dims its num_heads do not divide: '
                'correct one of the two.'
            )
        vit = dict(
            type='mmpretrain.VisionTransformer',
            arch=settings,
            img_size=img_size,
            patch_size=patch_size,
            layer_scale_init_value=layer_scale_init_value,
            layer_cfgs=dict(ffn_type=ffn_type),
        )
        super().__init__(MODELS.build(vit), init_cfg)
        if num_registers:
            registers = torch.empty(1, num_registers, self.embed_dims).normal_(std=1e-6)
            self.vit.register_tokens = nn.Parameter(registers)  # the name that DINOv2's files have
        self.num_registers = num_registers
        self.num_special_tokens = 1 + num_registers

    def add_positions(self, patches: Tensor) -> Tensor:
        """See :meth:`Encoder.add_positions`."""
        tokens = patches.flatten(2).transpose(1, 2)
        positions = self._positions(tuple(patches.shape[-2:])).to(tokens.dtype)
        special = positions[:, :1] + self.vit.cls_token
        if self.num_registers:
            special = torch.cat([special, self.vit.register_tokens], dim=1)
        special = special.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        return torch.cat([special, tokens + positions[:, 1:]], dim=1)

    def run_blocks(self, tokens: Tensor, first: int, last: int, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.run_blocks`."""
        for block in self.vit.layers[first : last + 1]:
            tokens = block(tokens)
        return tokens

    def tap(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.tap`; the final norm comes first."""
        patches = self.vit.ln1(tokens[:, self.num_special_tokens :])
        return patches.transpose(1, 2).unflatten(2, grid)

    def fit_positions(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Encoder.fit_positions`; a file's own native grid is a square."""
        positions = tensors.get('pos_embed')
        if positions is None or positions.shape == self.vit.pos_embed.shape:
            return tensors
        count = positions.shape[1] - 1
        side = isqrt(max(count, 0))
        if side**2 != count:
            return tensors  # no positions of a square grid: init_weights says which shape
        return {**tensors, 'pos_embed': self._resize(positions, (side, side), self._native)}

    @property
    def _native(self) -> tuple[int, int]:
        """Grid (h, w) of the stored position embedding."""
        return tuple(self.vit.patch_resolution)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding (1, 1 + N, C) for an h x w grid."""
        if grid == self._native and not torch.jit.is_tracing():  # a trace is for any grid
            return self.vit.pos_embed
        return once_a_grid(
            self.vit.pos_embed, grid, lambda table: self._resize(table, self._native, grid)
        )

    def _resize(self, positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
        """Resize the patches' part of a (1, 1 + N, C) position embedding."""
        cls, patches = positions.float().tensor_split([1], dim=1)
        maps = patches.transpose(1, 2).unflatten(2, old)
        aligned = bool(self.num_registers)
        offset = 0.0 if aligned else self.POSITION_OFFSET
        resized = resize_positions(maps, new, offset=offset, antialias=aligned)
        return torch.cat([cls, resized.flatten(2).transpose(1, 2)], dim=1)
