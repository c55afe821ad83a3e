"""One face for the frozen ViTs: embed, run blocks, tap.

An encoder knows nothing of modalities, stages' adapters or freezing; it turns an image into tokens,
runs some of its blocks on them, and turns tokens into a feature map.
"""

from abc import abstractmethod
from copy import deepcopy

import mmpretrain.models
import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from mobanet_mmseg.models.weights import place, read_state_dict, to_mmpretrain_names


class Encoder(BaseModule):
    """A ViT of mmpretrain behind one interface.

    Tokens are (B, T + N, C): T special tokens (CLS, registers; 0 where a ViT has none), then the
    N = h * w patch tokens, row by row.

    Args:
        vit: The ViT, built.
        pretrained: ``dict(type='Pretrained', checkpoint=..., prefix=...)``, or ``None``.

    Attributes:
        weights_given: Whether every tensor came from a file or a checkpoint.
    """

    num_special_tokens: int

    def __init__(self, vit: nn.Module, pretrained: dict | None) -> None:
        super().__init__()
        self.vit = vit
        self.pretrained = pretrained
        self.weights_given = False

    @property
    def projection(self) -> nn.Conv2d:
        """The patch embedding's convolution, (B, 3, H, W) -> (B, C, h, w)."""
        return self.vit.patch_embed.projection

    @property
    def embed_dims(self) -> int:
        """Channels C of a token."""
        return self.vit.embed_dims

    @property
    def patch_size(self) -> int:
        """Side of a patch, pixels."""
        return self.projection.kernel_size[0]

    @property
    def num_blocks(self) -> int:
        """Transformer blocks."""
        return len(self.vit.layers)

    @abstractmethod
    def add_positions(self, patches: Tensor) -> Tensor:
        """Turn a (B, C, h, w) map of embedded patches into (B, T + N, C) tokens with positions."""

    @abstractmethod
    def run_blocks(self, tokens: Tensor, first: int, last: int, grid: tuple[int, int]) -> Tensor:
        """Run blocks ``first`` to ``last``, both included, on (B, T + N, C) tokens of a grid."""

    @abstractmethod
    def tap(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Turn (B, T + N, C) tokens into the (B, C, h, w) map that leaves the encoder."""

    def init_weights(self) -> None:
        """Load the configured weights, or draw random ones where none are configured.

        Raises:
            FileNotFoundError: If the weight file can be neither found nor fetched.
            ValueError: If the file does not fit; see :func:`mobanet_mmseg.models.weights.place`.
        """
        if self.pretrained is None:
            super().init_weights()
            return
        source = self.pretrained['checkpoint']
        tensors = read_state_dict(source, self.pretrained.get('prefix', ''))
        place(self.vit, to_mmpretrain_names(tensors), source)
        self.weights_given = True

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        if all(
            prefix + name in state_dict and state_dict[prefix + name].shape == value.shape
            for name, value in self.state_dict().items()
        ):
            self.weights_given = True


class DINOv2(Encoder):
    """``mmpretrain.VisionTransformer`` as DINOv2 runs it.

    Source: DINOv2 (arXiv:2304.07193).

    Args:
        vit: ``mmpretrain.VisionTransformer``.
        pretrained: See :class:`Encoder`.
    """

    # DINOv2 without registers adds this to the grid before it divides by the native one.
    POSITION_OFFSET = 0.1

    def __init__(self, vit: nn.Module, pretrained: dict | None) -> None:
        super().__init__(vit, pretrained)
        self.num_special_tokens = vit.num_extra_tokens

    def add_positions(self, patches: Tensor) -> Tensor:
        """See :meth:`Encoder.add_positions`; bicubic resize of the positions as in DINOv2."""
        tokens = patches.flatten(2).transpose(1, 2)
        if self.vit.cls_token is not None:
            tokens = torch.cat([self.vit.cls_token.expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(patches.shape[-2:]).to(tokens.dtype)
        return self.vit.pre_norm(self.vit.drop_after_pos(tokens))

    def run_blocks(self, tokens: Tensor, first: int, last: int, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.run_blocks`."""
        for block in self.vit.layers[first : last + 1]:
            tokens = block(tokens)
        return tokens

    def tap(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """See :meth:`Encoder.tap`; the final norm comes first."""
        if self.vit.final_norm:
            tokens = self.vit.ln1(tokens)
        patches = tokens[:, self.num_special_tokens :]
        return patches.transpose(1, 2).unflatten(2, grid)

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embedding (1, T + N, C) for an h x w grid."""
        native = self.vit.patch_resolution
        if tuple(grid) == tuple(native):
            return self.vit.pos_embed
        special, patches = self.vit.pos_embed.float().split(
            [self.num_special_tokens, native[0] * native[1]], dim=1
        )
        resized = F.interpolate(
            patches.transpose(1, 2).unflatten(2, native),
            scale_factor=[
                (size + self.POSITION_OFFSET) / old for size, old in zip(grid, native, strict=True)
            ],
            mode=self.vit.interpolate_mode,
        )
        return torch.cat([special, resized.flatten(2).transpose(1, 2)], dim=1)


ENCODERS: dict[type[nn.Module], type[Encoder]] = {mmpretrain.models.VisionTransformer: DINOv2}


def build_encoder(config: dict) -> Encoder:
    """Build an encoder from the config of an mmpretrain ViT.

    Args:
        config: ``type='mmpretrain.VisionTransformer'`` and its arguments; ``init_cfg`` names the
            weights, which are placed strictly.

    Returns:
        The encoder that runs this kind of ViT.

    Raises:
        ValueError: If no encoder runs this kind of ViT.
    """
    config = deepcopy(config)
    pretrained = config.pop('init_cfg', None)
    if pretrained is not None and pretrained.get('type') != 'Pretrained':
        raise ValueError(
            f'encoder.init_cfg has type {pretrained.get("type")!r}; a frozen encoder takes '
            "dict(type='Pretrained', checkpoint=FILE)."
        )
    vit = MODELS.build(config)
    for kind, encoder in ENCODERS.items():
        if type(vit) is kind:
            return encoder(vit, pretrained)
    raise ValueError(
        f'encoder is a {type(vit).__name__}; MultimodalViT runs '
        f'{", ".join("mmpretrain." + kind.__name__ for kind in ENCODERS)}.'
    )
