"""DINOv3's encoder: positions are rotations of queries and keys, none is stored."""

import logging
import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks.transformer import FFN, PatchEmbed
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmpretrain.models.utils import LayerScale, SwiGLUFFN
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.once_a_grid import once_a_grid
from mobanet_mmseg.weights.files import CheckpointError

ARCHS = {
    'small': dict(embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536),
    'small_plus': dict(
        embed_dims=384, num_layers=12, num_heads=6, feedforward_channels=1536, ffn_type='swiglu'
    ),
    'base': dict(embed_dims=768, num_layers=12, num_heads=12, feedforward_channels=3072),
    'large': dict(embed_dims=1024, num_layers=24, num_heads=16, feedforward_channels=4096),
    'huge_plus': dict(
        embed_dims=1280, num_layers=32, num_heads=20, feedforward_channels=5120, ffn_type='swiglu'
    ),
    '7b': dict(
        embed_dims=4096,
        num_layers=40,
        num_heads=32,
        feedforward_channels=8192,
        ffn_type='swiglu',
        qkv_bias=False,
    ),
}
NORM_EPS = 1e-5


class Normalisation(NamedTuple):
    """What the images were normalised by that an encoder was trained on, R G B of 0 to 255."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALISATIONS = {
    'LVD-1689M': Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    'SAT-493M': Normalisation((109.65, 104.805, 75.48), (54.315, 39.78, 36.465)),
}


@MODELS.register_module()
class DINOv3(Encoder):
    """DINOv3's ViT.

    Registers (the publisher's storage tokens) stand between CLS and the patches. Patches know where
    they are by :class:`AxialRoPE` alone, so any grid is a native one.

    The licence of the published weights asks that whoever passes them on, or a checkpoint that
    holds them, passes on that licence too.

    Source: DINOv3 (arXiv:2508.10104).

    Args:
        arch: ``'small'``, ``'small_plus'``, ``'base'``, ``'large'``, ``'huge_plus'``, ``'7b'``, or
            a dict of ``embed_dims``, ``num_layers``, ``num_heads``, ``feedforward_channels``, and
            where they differ ``ffn_type`` (``'gelu'``, or ``'swiglu'``) and ``qkv_bias`` (True).
        patch_size: Side of a patch, pixels.
        num_registers: Register tokens.
        layer_scale_init_value: Where LayerScale starts without weights, above 0.
        init_cfg: See :class:`Encoder`.

    Raises:
        ValueError: If ``arch`` is no size of DINOv3, or the width of a head is no multiple of 4.
    """

    licence = 'DINOv3 License'
    overflows_in_fp16 = True

    def __init__(
        self,
        arch: str | dict = 'base',
        patch_size: int = 16,
        num_registers: int = 4,
        layer_scale_init_value: float = 1e-5,
        init_cfg: dict | None = None,
    ) -> None:
        if isinstance(arch, str) and arch not in ARCHS:
            raise ValueError(f'DINOv3 got arch={arch!r}; it is {", ".join(ARCHS)}, or a dict.')
        vit = dict(
            type='DINOv3ViT',
            **(ARCHS[arch] if isinstance(arch, str) else arch),
            patch_size=patch_size,
            num_registers=num_registers,
            layer_scale_init_value=layer_scale_init_value,
        )
        super().__init__(MODELS.build({'_scope_': 'mmseg', **vit}), init_cfg)
        self.num_special_tokens = 1 + num_registers

    def add_positions(self, patches: Tensor) -> Tensor:
        """See :meth:`Encoder.add_positions`; the blocks know the positions themselves."""
        tokens = patches.flatten(2).transpose(1, 2)
        special = torch.cat([self.vit.cls_token, self.vit.register_tokens], dim=1)
        special = special.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        return torch.cat([special, tokens], dim=1)

    def run_blocks(self, tokens: Tensor, first: int, last: int, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.run_blocks`."""
        rotation = self.vit.rope_embed(grid, self.num_special_tokens)
        for block in self.vit.layers[first : last + 1]:
            tokens = block(tokens, rotation)
        return tokens

    def tap(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.tap`; the final norm comes first."""
        patches = self.vit.ln1(tokens[:, self.num_special_tokens :])
        return patches.transpose(1, 2).unflatten(2, grid)

    def fit_positions(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """See :meth:`Encoder.fit_positions`; there are none."""
        return tensors

    def read_weights(self, source: str, prefix: str) -> dict[str, Tensor]:
        """See :meth:`Encoder.read_weights`.

        What not every publisher writes is filled in: the periods of the rotations, and biases of 0
        where a file has those of no query and no value.

        Raises:
            CheckpointError: If the mask is missing that makes the bias of keys 0.
        """
        tensors = super().read_weights(source, prefix)
        biases = [name for name in tensors if name.endswith('.attn.qkv.bias')]
        unmasked = [
            name
            for name in biases
            if f'{name}_mask' not in tensors and tensors[name].flatten().tensor_split(3)[1].any()
        ]
        if unmasked:
            raise CheckpointError(
                f'{source} has a bias of keys in {len(unmasked)} blocks that nothing makes 0 (no '
                f'{unmasked[0]}_mask): give the whole file, as Meta publishes it.'
            )
        shapes = {name: value.shape for name, value in self.vit.state_dict().items()}
        if not biases:
            biases = (name for name in shapes if name.endswith('.attn.qkv.bias'))
            tensors.update({name: torch.zeros(shapes[name]) for name in biases})
        periods = tensors.get(PERIODS)
        if periods is None:
            periods = periods_of(4 * shapes[PERIODS][0])
        return {**tensors, PERIODS: periods.float()}

    def check_mean(self, mean: Sequence[float]) -> None:
        """See :meth:`Encoder.check_mean`; the weights are known by the name of their file."""
        source = (self.pretrained or {}).get('checkpoint')
        trained_on = None if source is None else images_of(str(source))
        given = next((n for n, each in NORMALISATIONS.items() if close(each.mean, mean[:3])), None)
        if None in (trained_on, given) or trained_on == given:
            return
        mean, std = (list(values) for values in NORMALISATIONS[trained_on])
        print_log(
            f'{source} is by its name of the DINOv3 that was trained on {trained_on}, but the '
            f'data_preprocessor normalises optical images as those of {given} (mean '
            f'{list(NORMALISATIONS[given].mean)}): for {trained_on} it is {mean=}, {std=}.',
            logger='current',
            level=logging.WARNING,
        )


def close(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether two means of 0 to 255 are the same but for rounding."""
    return all(abs(a - b) < 1e-2 for a, b in zip(first, second, strict=True))


def images_of(source: str) -> str | None:
    """Say by a weight file's name what images the encoder in it was trained on.

    Args:
        source: Path or address; of a file that is named as every other one (Hugging Face's
            ``model.safetensors``) the folders count.

    Returns:
        A key of ``NORMALISATIONS``; ``None`` for any other name.
    """
    path = PurePath(source)
    generic = path.stem in ('model', 'pytorch_model')
    for part in reversed(path.parts if generic else path.parts[-1:]):
        for name in NORMALISATIONS:
            if re.search(name.replace('-', '[-_]?'), part, re.IGNORECASE):
                return name
    return None


PERIODS = 'rope_embed.periods'


def periods_of(head_dims: int) -> Tensor:
    """Compute the periods of a head's rotations, rounded as those that the publisher trains with.

    Args:
        head_dims: Channels c of a head.

    Returns:
        ``100^(4i / c)`` for i below c / 4, float32 of bfloat16's precision.
    """
    exponents = torch.arange(head_dims // 4) * 4 / head_dims
    return (100.0**exponents).bfloat16().float()


@MODELS.register_module()
class DINOv3ViT(BaseModule):
    """The parts of DINOv3, by mmpretrain's names where it has them; :class:`DINOv3` runs them.

    Args:
        embed_dims: Channels C of a token.
        num_layers: Blocks.
        num_heads: Heads of an attention.
        feedforward_channels: Hidden channels of a feed-forward network.
        ffn_type: ``'gelu'`` or ``'swiglu'``.
        qkv_bias: Whether queries, keys and values have a bias; that of the keys is 0.
        patch_size: Side of a patch, pixels.
        num_registers: Register tokens.
        layer_scale_init_value: Where LayerScale starts, above 0.

    Raises:
        ValueError: If ``ffn_type`` is none of the two, or the width of a head no multiple of 4.
    """

    def __init__(
        self,
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        feedforward_channels: int,
        ffn_type: str = 'gelu',
        qkv_bias: bool = True,
        patch_size: int = 16,
        num_registers: int = 4,
        layer_scale_init_value: float = 1e-5,
    ) -> None:
        super().__init__()
        if ffn_type not in ('gelu', 'swiglu'):
            raise ValueError(f"ffn_type={ffn_type!r}; it is 'gelu' or 'swiglu'.")
        self.embed_dims = embed_dims
        self.patch_embed = PatchEmbed(3, embed_dims, kernel_size=patch_size, stride=patch_size)
        self.cls_token = nn.Parameter(torch.empty(1, 1, embed_dims).normal_(std=0.02))
        registers = torch.empty(1, num_registers, embed_dims).normal_(std=0.02)
        self.register_tokens = nn.Parameter(registers)
        self.rope_embed = AxialRoPE(embed_dims, num_heads)
        self.layers = nn.ModuleList(
            Block(
                RotaryAttention(embed_dims, num_heads, qkv_bias, layer_scale_init_value),
                SwiGLUFFN(embed_dims, feedforward_channels, None, layer_scale_init_value)
                if ffn_type == 'swiglu'
                else FFN(
                    embed_dims,
                    feedforward_channels,
                    act_cfg=dict(type='GELU'),
                    layer_scale_init_value=layer_scale_init_value,
                ),
                embed_dims,
            )
            for _ in range(num_layers)
        )
        self.ln1 = nn.LayerNorm(embed_dims, eps=NORM_EPS)


class AxialRoPE(nn.Module):
    r"""Rotary positions of a grid of patches: a half of each head turns by row, one by column.

    Rows and columns lie at :math:`p = 2 (i + 1/2) / n - 1` between -1 and 1, each by its own
    number n; channel pairs of period :math:`\lambda` turn by :math:`2 \pi p / \lambda`.

    Source: RoFormer (arXiv:2104.09864), over two axes as in DINOv3 (arXiv:2508.10104).

    Args:
        embed_dims: Channels C of a token.
        num_heads: Heads that they are divided into.

    Raises:
        ValueError: If the width of a head is no multiple of 4.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        head_dims, rest = divmod(embed_dims, num_heads)
        if rest or head_dims % 4:
            raise ValueError(
                f'{embed_dims} channels in {num_heads} heads; the width of a head of DINOv3 is a '
                'multiple of 4: two axes of pairs.'
            )
        self.register_buffer('periods', periods_of(head_dims))

    def forward(self, grid: tuple[int, int], num_special: int) -> Tensor:
        """Compute what :func:`rotate` takes.

        Args:
            grid: (h, w) of the patches.
            num_special: T special tokens before them, which stay as they are.

        Returns:
            (2, T + N, c): cosines, and sines signed for the channels that they meet; float32.
        """
        return once_a_grid(self.periods, (grid, num_special), partial(tables_of, grid, num_special))


def tables_of(grid: tuple[int, int], num_special: int, periods: Tensor) -> Tensor:
    """Compute what :meth:`AxialRoPE.forward` gives, of its periods (c / 4)."""
    rows, columns = (angles_of(count, periods) for count in grid)
    angles = torch.cat(
        [
            rows[:, None].expand(-1, grid[1], -1),
            columns[None].expand(grid[0], -1, -1),
        ],
        dim=-1,
    ).flatten(0, 1)
    angles = F.pad(angles, (0, 0, num_special, 0))  # (T + N, c / 2)
    cosine, sine = angles.cos(), angles.sin()
    return torch.stack([torch.cat([cosine, cosine], -1), torch.cat([-sine, sine], -1)])


def angles_of(count: int, periods: Tensor) -> Tensor:
    """Angles (count, c / 4) along an axis of so many patches."""
    places = torch.arange(count, device=periods.device, dtype=torch.float32)
    return 2 * math.pi * (2 * (places + 0.5) / count - 1)[:, None] / periods.float()


def rotate(heads: Tensor, rotation: Tensor) -> Tensor:
    """Turn channel i of (..., T + N, c) heads with channel i + c / 2 by their token's angles.

    Args:
        heads: Queries or keys.
        rotation: (2, T + N, c) of :class:`AxialRoPE`.

    Returns:
        The heads in the type that they had; between, it is float32.
    """
    cosine, sine = rotation
    turned = heads * cosine + heads.roll(heads.shape[-1] // 2, dims=-1) * sine
    return turned.to(heads.dtype)


class RotaryAttention(nn.Module):
    """Self-attention whose queries and keys are rotated; LayerScale follows.

    Args:
        embed_dims: Channels C of a token.
        num_heads: Heads.
        qkv_bias: Whether queries, keys and values have a bias; that of the keys is 0.
        layer_scale_init_value: Where LayerScale starts, above 0.
    """

    def __init__(
        self, embed_dims: int, num_heads: int, qkv_bias: bool, layer_scale_init_value: float
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=qkv_bias)
        if qkv_bias:
            nn.init.zeros_(self.qkv.bias[embed_dims : 2 * embed_dims])
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.gamma1 = LayerScale(embed_dims, layer_scale_init_value)

    def forward(self, tokens: Tensor, rotation: Tensor) -> Tensor:
        """Attend among (B, T + N, C) tokens."""
        qkv = self.qkv(tokens).unflatten(-1, (3, self.num_heads, -1))
        qkv = qkv.permute(2, 0, 3, 1, 4)  # (3, B, heads, T + N, c)
        query, key = rotate(qkv[:2], rotation)
        attended = F.scaled_dot_product_attention(query, key, qkv[2])
        return self.gamma1(self.proj(attended.transpose(1, 2).flatten(2)))


class Block(nn.Module):
    """One of DINOv3's blocks, each half of which is normalised first and added.

    Args:
        attention: Gives what is added first.
        ffn: Adds its own output to what it is called with as ``identity``.
        embed_dims: Channels C of a token.
    """

    def __init__(self, attention: nn.Module, ffn: nn.Module, embed_dims: int) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        self.attn = attention
        self.ln2 = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        self.ffn = ffn

    def forward(self, tokens: Tensor, rotation: Tensor) -> Tensor:
        """Run on (B, T + N, C) tokens; for ``rotation`` see :func:`rotate`."""
        tokens = tokens + self.attn(self.ln1(tokens), rotation)
        return self.ffn(self.ln2(tokens), identity=tokens)
