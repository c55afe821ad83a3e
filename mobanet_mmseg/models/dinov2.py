"""DINOv2's encoder, with or without registers."""

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobanet_mmseg.models.encoder import Encoder


class DINOv2(Encoder):
    """``mmpretrain.VisionTransformer`` as DINOv2 runs it.

    Positions of another grid are resized as DINOv2 does: bicubically; without registers by the
    scale ``(size + 0.1) / native``, with registers to the size itself and antialiased. Registers
    have no position; they stand between CLS and the patches.

    Source: DINOv2 (arXiv:2304.07193); registers: arXiv:2309.16588.

    Args:
        vit: ``mmpretrain.VisionTransformer``.
        pretrained: See :class:`Encoder`.
        num_registers: Register tokens, which mmpretrain's ViT has not.

    Raises:
        ValueError: If there are registers, but no CLS token for them to stand behind.
    """

    POSITION_OFFSET = 0.1

    def __init__(self, vit: nn.Module, pretrained: dict | None, num_registers: int = 0) -> None:
        super().__init__(vit, pretrained)
        if num_registers and vit.cls_token is None:
            raise ValueError(
                f'encoder has num_registers={num_registers} but with_cls_token=False; DINOv2 with '
                'registers has a CLS token: leave with_cls_token out.'
            )
        if num_registers:
            registers = torch.empty(1, num_registers, vit.embed_dims).normal_(std=1e-6)
            vit.register_tokens = nn.Parameter(registers)  # the name that DINOv2's files have
        self.num_registers = num_registers
        self.num_special_tokens = vit.num_extra_tokens + num_registers

    def add_positions(self, patches: Tensor) -> Tensor:
        """See :meth:`Encoder.add_positions`."""
        vit = self.vit
        tokens = patches.flatten(2).transpose(1, 2)
        positions = self._positions(tuple(patches.shape[-2:])).to(tokens.dtype)
        special, positions = positions.tensor_split([vit.num_extra_tokens], dim=1)
        if vit.cls_token is not None:
            special = special + vit.cls_token
        if self.num_registers:
            special = torch.cat([special, vit.register_tokens], dim=1)
        special = special.to(tokens.dtype).expand(len(tokens), -1, -1)
        tokens = torch.cat([special, tokens + positions], dim=1)
        return vit.pre_norm(vit.drop_after_pos(tokens))

    def run_blocks(self, tokens: Tensor, first: int, last: int, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.run_blocks`."""
        for block in self.vit.layers[first : last + 1]:
            tokens = block(tokens)
        return tokens

    def tap(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.tap`; the final norm comes first."""
        patches = tokens[:, self.num_special_tokens :]
        if self.vit.final_norm:
            patches = self.vit.ln1(patches)
        return patches.transpose(1, 2).unflatten(2, grid)

    def fit_positions(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Encoder.fit_positions`; a file's own native grid is a square."""
        positions = tensors.get('pos_embed')
        if positions is None or positions.shape == self.vit.pos_embed.shape:
            return tensors
        count = positions.shape[1] - self.vit.num_extra_tokens
        side = isqrt(max(count, 0))
        if side**2 != count:
            return tensors  # no positions of a square grid: place() says which shape they have
        return {**tensors, 'pos_embed': self._resize(positions, (side, side), self._native)}

    @property
    def _native(self) -> tuple[int, int]:
        """Grid (h, w) of the stored position embedding."""
        return tuple(self.vit.patch_resolution)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding (1, extra + N, C) for an h x w grid."""
        if grid == self._native:
            return self.vit.pos_embed
        return self._resize(self.vit.pos_embed, self._native, grid)

    def _resize(self, positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
        """Resize the patches' part of a (1, extra + N, C) position embedding."""
        special, patches = positions.float().tensor_split([self.vit.num_extra_tokens], dim=1)
        maps = patches.transpose(1, 2).unflatten(2, old)
        mode = self.vit.interpolate_mode
        if self.num_registers:
            resized = F.interpolate(maps, size=new, mode=mode, antialias=True)
        else:
            scale = [float(b + self.POSITION_OFFSET) / a for a, b in zip(old, new, strict=True)]
            resized = F.interpolate(maps, scale_factor=scale, mode=mode)
        return torch.cat([special, resized.flatten(2).transpose(1, 2)], dim=1)
