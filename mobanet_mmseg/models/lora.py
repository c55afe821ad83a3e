"""LoRA: each stream's own low-rank updates of the frozen encoder's queries and values."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.encoder import Encoder


@MODELS.register_module()
class LoRA(BaseModule):
    r"""Low-rank updates of the queries and values of an encoder's blocks, other ones per stream.

    .. math:: q_m = (W_q + s B_{m,q} A_{m,q}) x, \quad v_m = (W_v + s B_{m,v} A_{m,v}) x

    B starts at 0 and s = alpha / r, so training starts from the pretrained encoder's features. The
    encoder stays as it is, names and values: its layers call the updates.

    Source: LoRA (arXiv:2106.09685), Sec. 4.

    Args:
        embed_dims: Channels C of the tokens.
        num_blocks: Blocks that are updated, the first ones.
        rank: Rank r of an update.
        alpha: Numerator of the scale, not 0; ``None`` takes the rank: the scale is 1.

    Raises:
        ValueError: If ``rank`` is no whole number from 1 on, or ``alpha`` is 0 or not finite.
    """

    def __init__(
        self, embed_dims: int, num_blocks: int, rank: int, alpha: float | None = None
    ) -> None:
        super().__init__()
        if rank < 1 or rank % 1:
            raise ValueError(f'LoRA got rank={rank}; it is at least 1, a whole number.')
        if alpha is not None and (alpha == 0 or not math.isfinite(alpha)):
            raise ValueError(f'LoRA got alpha={alpha}, by which nothing is learned: leave it out.')
        scale = 1.0 if alpha is None else alpha / rank
        self.updates = nn.ModuleList(
            QueryValueUpdate(embed_dims, rank, scale) for _ in range(num_blocks)
        )

    def attach(self, encoder: Encoder) -> None:
        """Let the blocks of an encoder call the updates from now on.

        Args:
            encoder: Runs both streams as one batch, the optical one first; see :meth:`only`.
        """
        for update, layer in zip(self.updates, encoder.qkv_layers, strict=False):
            layer.register_forward_hook(update)

    @contextmanager
    def only(self, streams: slice) -> Iterator[None]:
        """Update tokens that are not of both streams.

        Args:
            streams: ``slice(0, 1)`` for those of the optical stream alone, ``slice(1, 2)`` for
                those of the auxiliary one; ``slice(0)`` updates none.
        """
        for update in self.updates:
            update.streams = streams
        try:
            yield
        finally:
            for update in self.updates:
                update.streams = slice(None)

    @torch.no_grad()
    def merged(self, encoder: Encoder, stream: int) -> dict[str, Tensor]:
        """Give the weights of a ViT that does by itself what one stream's updates do.

        Args:
            encoder: The one that is updated; it stays as it is.
            stream: 0 for the optical stream, 1 for the auxiliary one.

        Returns:
            State dict of ``encoder.vit``.
        """
        state = {name: value.clone() for name, value in encoder.vit.state_dict().items()}
        names = {parameter: name for name, parameter in encoder.vit.named_parameters()}
        for update, layer in zip(self.updates, encoder.qkv_layers, strict=False):
            down, up = update.matrices()
            state[names[layer.weight]] += (down[stream] @ up[stream]).T
        return state


class QueryValueUpdate(nn.Module):
    """Both streams' updates of one block's queries and values.

    Args:
        embed_dims: Channels C of the tokens.
        rank: Rank r of an update.
        scale: What updates are multiplied by.

    Attributes:
        streams: Whose tokens come, see :meth:`LoRA.only`; all are those of both.
    """

    def __init__(self, embed_dims: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.streams = slice(None)
        # streams, then queries and values
        self.down = nn.Parameter(torch.empty(2, 2, rank, embed_dims))
        self.up = nn.Parameter(torch.zeros(2, 2, embed_dims, rank))
        nn.init.uniform_(self.down, -(embed_dims**-0.5), embed_dims**-0.5)  # as of a linear layer

    def matrices(self) -> tuple[Tensor, Tensor]:
        """Give what makes 2r features of tokens, (2, C, 2r), and changes of those, (2, 2r, 3C)."""
        channels = self.down.shape[-1]
        queries = F.pad(self.up[:, 0].transpose(-2, -1), (0, 2 * channels))
        values = F.pad(self.up[:, 1].transpose(-2, -1), (2 * channels, 0))
        return self.down.flatten(1, 2).transpose(-2, -1), self.scale * torch.cat(
            [queries, values], dim=1
        )

    def forward(self, layer: nn.Linear, given: tuple[Tensor], qkv: Tensor) -> Tensor:
        """Update what a layer gives; torch calls it after the layer.

        Args:
            layer: Not used.
            given: (2B, ..., C) tokens, those of the optical stream first.
            qkv: (2B, ..., 3C).

        Returns:
            The updated (2B, ..., 3C).
        """
        down, up = (matrix[self.streams] for matrix in self.matrices())
        if not len(down):
            return qkv
        tokens, plain = (each.reshape(len(down), -1, each.shape[-1]) for each in (given[0], qkv))
        return torch.baddbmm(plain, tokens @ down, up).view(qkv.shape)
