"""SAM's image encoder: windows, decomposed relative positions, neither CLS nor final norm."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmpretrain.models.backbones.vit_sam import window_partition, window_unpartition
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.once_a_grid import once_a_grid
from mobanet_mmseg.models.resizing import resize_positions


@MODELS.register_module()
class SAM(Encoder):
    """SAM's image encoder, at any image size.

    Most blocks attend inside windows (padded with zeros where the grid does not divide), a few to
    the whole image. Positions of another grid are resized bicubically, relative ones linearly.

    Source: Segment Anything (arXiv:2304.02643).

    Args:
        arch: ``'base'``, ``'large'``, ``'huge'``, or a dict of ``embed_dims``, ``num_layers``,
            ``num_heads``, ``feedforward_channels`` and ``global_attn_indexes``, the blocks that
            attend to the whole image.
        img_size: Size of the images that the position embedding is for, pixels.
        patch_size: Side of a patch, pixels.
        window_size: Side of a window, patches.
        neck_channels: Channels of SAM's own neck (256), through which a tap then leaves; 0 leaves
            the neck out: a tap is the output of its block.
        init_cfg: See :class:`Encoder`.
    """

    num_special_tokens = 0
    licence = 'Apache-2.0'

    def __init__(
        self,
        arch: str | dict = 'base',
        img_size: int | tuple[int, int] = 1024,
        patch_size: int = 16,
        window_size: int = 14,
        neck_channels: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        vit = dict(
            type='mmpretrain.ViTSAM',
            arch=arch,
            img_size=img_size,
            patch_size=patch_size,
            window_size=window_size,
            out_channels=neck_channels,
        )
        super().__init__(MODELS.build(vit), init_cfg)

    @property
    def compilable_blocks(self) -> list[nn.Module]:
        """None: :func:`run_block` runs their parts."""
        return []

    @property
    def out_channels(self) -> int:
        """Channels of the map that :meth:`tap` gives."""
        return self.vit.out_channels or self.embed_dims

    def add_positions(self, patches: Tensor) -> Tensor:
        """See :meth:`Encoder.add_positions`."""
        grid = tuple(patches.shape[-2:])
        positions = once_a_grid(self.vit.pos_embed, grid, lambda table: self._resize(table, grid))
        tokens = patches.permute(0, 2, 3, 1) + positions.to(patches.dtype)
        return tokens.flatten(1, 2)

    def run_blocks(self, tokens: Tensor, first: int, last: int, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.run_blocks`."""
        maps = tokens.unflatten(1, grid)
        for block in self.vit.layers[first : last + 1]:
            maps = run_block(block, maps)
        return maps.flatten(1, 2)

    def tap(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.tap`."""
        maps = tokens.transpose(1, 2).unflatten(2, grid)
        return self.vit.channel_reduction(maps) if self.vit.out_channels else maps

    def fit_positions(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Encoder.fit_positions`; windows do not depend on the grid."""
        fitted = dict(tensors)
        if 'pos_embed' in tensors:
            fitted['pos_embed'] = self._resize(
                tensors['pos_embed'], tuple(self.vit.patch_resolution)
            )
        for index, block in enumerate(self.vit.layers):
            if block.window_size:
                continue
            for axis in ('h', 'w'):
                name = f'layers.{index}.attn.rel_pos_{axis}'
                if name in tensors:
                    length = len(block.attn.get_parameter(f'rel_pos_{axis}'))
                    fitted[name] = resize_table(tensors[name], length)
        return fitted

    def _resize(self, positions: Tensor, grid: tuple[int, int]) -> Tensor:
        """Resize a (1, h, w, C) position embedding to a grid."""
        maps = positions.permute(0, 3, 1, 2)
        return resize_positions(maps, grid).permute(0, 2, 3, 1)


def run_block(block: nn.Module, maps: Tensor) -> Tensor:
    """Run a block of ``mmpretrain.ViTSAM`` on a (B, h, w, C) map."""
    maps = maps + attend_in_windows(block, block.ln1(maps))
    return block.ffn(block.ln2(maps), identity=maps)


def attend_in_windows(
    block: nn.Module, maps: Tensor, change: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Attend as a block of ``mmpretrain.ViTSAM`` does, inside its windows if it has any.

    Args:
        block: The block.
        maps: The normalised tokens, in their places.
        change: See :func:`attend`; the windows of a map follow one another.

    Returns:
        (B, h, w, C).
    """
    if not block.window_size:
        return attend(block.attn, maps, change)
    windows, padded = window_partition(maps, block.window_size)
    attended = attend(block.attn, windows, change)
    return window_unpartition(attended, block.window_size, padded, tuple(maps.shape[1:3]))


def attend(
    attention: nn.Module, maps: Tensor, change: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    r"""Attend within (B, h, w, C) maps with SAM's decomposed relative positions.

    The bias of query q and the key in row i and column j is ``q . R_i + q . C_j``. Appending the
    h + w products to the query, and to the key which row and column it is in, makes the bias a part
    of the scalar product: no N x N matrix is ever written, neither forward nor backward.

    .. math:: [q / \sqrt{c}; R q; C q] \cdot [k; e_i; e_j] = q \cdot k / \sqrt{c} + q R_i + q C_j

    Source: MViTv2 (arXiv:2112.01526), Eq. 3-4, as in Segment Anything.

    Args:
        attention: Attention of a block of ``mmpretrain.ViTSAM``.
        maps: The normalised tokens, in their places.
        change: Gives what is added to queries, keys and values: (B, h, w, 3 C) of the maps.

    Returns:
        (B, h, w, C).
    """
    height, width = maps.shape[1:3]
    qkv = attention.qkv(maps)
    if change is not None:
        qkv = qkv + change(maps)
    qkv = qkv.unflatten(-1, (3, attention.num_heads, -1))
    query, key, value = qkv.permute(3, 0, 4, 1, 2, 5)  # (B, heads, h, w, c) each
    rows = relative_positions(attention.rel_pos_h, height).to(query.dtype)
    columns = relative_positions(attention.rel_pos_w, width).to(query.dtype)
    by_row = torch.einsum('bnhwc,hic->bnhwi', query, rows)
    by_column = torch.einsum('bnhwc,wjc->bnhwj', query, columns)
    query = torch.cat([query * attention.scale, by_row, by_column], dim=-1)
    key = torch.cat([key, places(height, width, key).expand(*key.shape[:2], -1, -1, -1)], dim=-1)
    channels, extended = value.shape[-1], key.shape[-1]
    extended = (
        extended + -extended % 8
    )  # the fast kernels want multiples of 8, the same for all three
    query, key, value = (
        F.pad(part, (0, extended - part.shape[-1])).flatten(2, 3) for part in (query, key, value)
    )
    attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)[..., :channels]
    return attention.proj(attended.transpose(1, 2).flatten(2).unflatten(1, (height, width)))


def relative_positions(table: Tensor, size: int) -> Tensor:
    """Look up a position embedding for each pair of query and key along one axis.

    Args:
        table: (L, c), from the farthest key ahead to the farthest behind; resized to 2 * size - 1.
        size: Rows or columns of the map.

    Returns:
        (size, size, c), queries first.
    """
    return once_a_grid(table, size, lambda table: _look_up(resize_table(table, 2 * size - 1), size))


def _look_up(table: Tensor, size: int) -> Tensor:
    steps = torch.arange(size, device=table.device)
    return table[steps[:, None] - steps + size - 1]


def resize_table(table: Tensor, length: int) -> Tensor:
    """Resize an (L, c) table of relative positions linearly."""
    return resize_positions(table.T[None], (length,), 'linear')[0].T


def places(height: int, width: int, like: Tensor) -> Tensor:
    """Say in which row and column a token is: (h, w, h + w) of ones and zeros."""
    rows = torch.eye(height, dtype=like.dtype, device=like.device)[:, None].expand(-1, width, -1)
    columns = torch.eye(width, dtype=like.dtype, device=like.device).expand(height, -1, -1)
    return torch.cat([rows, columns], dim=-1)
