"""What our networks are measured against: the bare encoder, and the plainest composition."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from mobanet_mmseg.models.cpia import CPIA, AddPrompt, PromptInjectedAdapter
from mobanet_mmseg.models.dinov2 import DINOv2
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.multimodal_vit import MultimodalViT
from mobanet_mmseg.models.sam import SAM


class PlainComposition(MultimodalViT):
    """``MultimodalViT`` as one would first write it: the same function of the same weights.

    Each stream makes a pass of its own through the blocks as mmpretrain has them, and CPIA's
    equations are worked out one after another. A config that names this class in the place of
    ``MultimodalViT`` is the yardstick for the whole network.
    """

    def forward(self, inputs: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """See :meth:`MultimodalViT.forward`."""
        self.check(inputs)
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        embedded = self.encoder.projection(rgb), self.aux_embed(aux)
        grid = tuple(embedded[0].shape[-2:])
        streams = [self.encoder.add_positions(patches) for patches in embedded]
        maps, first, special = [], 0, self.encoder.num_special_tokens
        for stage, last in enumerate(self.out_indices):
            if self.cpia is not None:
                patches = plain_cpia(self.cpia[stage], *(each[:, special:] for each in streams))
                streams = [
                    torch.cat([tokens[:, :special], changed], dim=1)
                    for tokens, changed in zip(streams, patches, strict=True)
                ]
            for index, tokens in enumerate(streams):
                with only(self, slice(index, index + 1)):
                    streams[index] = run_plainly(self.encoder, tokens, first, last, grid)
            maps.append([self.encoder.tap(tokens, grid) for tokens in streams])
            first = last + 1
        rgb_maps, aux_maps = zip(*maps, strict=True)
        return rgb_maps, aux_maps


def only(backbone: MultimodalViT, streams: slice) -> AbstractContextManager[None]:
    """Let the encoder run on some streams alone.

    Args:
        backbone: Has the encoder, and an adapter or none.
        streams: See :meth:`LoRA.only`.
    """
    return nullcontext() if backbone.adapter is None else backbone.adapter.only(streams)


def plain_cpia(cpia: CPIA, rgb: Tensor, aux: Tensor) -> tuple[Tensor, Tensor]:
    """Work out Eq. 5-11 of MoBaNet (arXiv:2603.17705) as they stand.

    Args:
        cpia: The weights.
        rgb: (B, N, C) patch tokens of the optical stream.
        aux: The same of the auxiliary one.
    """
    reduced = torch.cat([cpia.reduce_rgb(rgb), cpia.reduce_aux(aux)], dim=-1)
    base = cpia.expand(cpia.fuse(reduced))
    return tuple(
        _adapt(adapter, tokens, base + tft.gamma * base + tft.beta)
        for adapter, tokens, tft in (
            (cpia.adapter_rgb, rgb, cpia.tft_rgb),
            (cpia.adapter_aux, aux, cpia.tft_aux),
        )
    )


def _adapt(adapter: PromptInjectedAdapter | AddPrompt, tokens: Tensor, prompt: Tensor) -> Tensor:
    if isinstance(adapter, AddPrompt):
        return tokens + prompt
    hidden = torch.relu(adapter.down(tokens) + adapter.inject(prompt))
    return tokens + adapter.up(adapter.dropout(hidden))


def run_plainly(
    encoder: Encoder, tokens: Tensor, first: int, last: int, grid: tuple[int, int]
) -> Tensor:
    """Run blocks as mmpretrain has them; an encoder that it has not runs its own.

    Args:
        encoder: Has the blocks.
        tokens: (B, T + N, C).
        first: The first block.
        last: The last one, which runs, too.
        grid: (h, w) of the patches.
    """
    if not isinstance(encoder, DINOv2 | SAM):
        return encoder.run_blocks(tokens, first, last, grid)
    maps = tokens.unflatten(1, grid) if isinstance(encoder, SAM) else tokens
    for block in encoder.vit.layers[first : last + 1]:
        maps = block(maps)
    return maps.flatten(1, 2) if isinstance(encoder, SAM) else maps


@torch.inference_mode()
def run_streams(backbone: MultimodalViT, inputs: Tensor) -> list[Tensor]:
    """Encode both modalities by the bare encoder, as one batch.

    Args:
        backbone: Gives the encoder, the patch embeddings and the taps.
        inputs: (B, C, H, W), normalised.

    Returns:
        (2B, C, h, w) maps, one a tap.
    """
    tokens, grid = _embed(backbone, inputs)
    return _run_taps(backbone, tokens, grid)


def train_streams(backbone: MultimodalViT, inputs: Tensor) -> Tensor:
    """Encode both modalities by the bare encoder and go back to their tokens, as all CPIA needs.

    Args:
        backbone: See :func:`run_streams`.
        inputs: (B, C, H, W), normalised.

    Returns:
        The gradient of the sum of the maps at the tokens before the first block.
    """
    with torch.no_grad():
        tokens, grid = _embed(backbone, inputs)
    tokens.requires_grad_()
    maps = _run_taps(backbone, tokens, grid)
    torch.autograd.backward(maps, [torch.ones_like(each) for each in maps])
    return tokens.grad


def _embed(backbone: MultimodalViT, inputs: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """The tokens of both streams as one batch, and their grid."""
    rgb, aux = inputs.split(backbone.modality_channels, dim=1)
    patches = torch.cat([backbone.encoder.projection(rgb), backbone.aux_embed(aux)])
    return backbone.encoder.add_positions(patches), tuple(patches.shape[-2:])


def _run_taps(backbone: MultimodalViT, tokens: Tensor, grid: tuple[int, int]) -> list[Tensor]:
    encoder, maps, first = backbone.encoder, [], 0
    with only(backbone, slice(0)):
        for last in backbone.out_indices:
            tokens = run_plainly(encoder, tokens, first, last, grid)
            maps.append(encoder.tap(tokens, grid))
            first = last + 1
    return maps
