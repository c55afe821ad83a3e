"""The backbone: one frozen ViT run as two symmetric streams, joined by CPIA before each stage."""

from collections.abc import Sequence
from functools import partial

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from mobanet_mmseg.models.cpia import CPIA
from mobanet_mmseg.models.frozen_streams import FrozenStreams

aten = torch.ops.aten
# as small as the blocks' inputs, and slow to compute anew: with_cp keeps what they give
ATTENTION = [
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention.default,
    aten._scaled_dot_product_efficient_attention.default,
    aten._scaled_dot_product_cudnn_attention.default,
]


@MODELS.register_module()
class MultimodalViT(FrozenStreams):
    """Two streams through one frozen ViT.

    Both streams run through the shared blocks as one batch. Stage s is the blocks after the
    previous tap up to and including tap s; CPIA acts on the patch tokens before each stage.

    Source: MoBaNet (arXiv:2603.17705), Sec. III-A, Eq. 1-4.

    Args:
        encoder: Config of an :class:`Encoder`, such as ``dict(type='DINOv2', arch='base')``; its
            ``init_cfg`` names the weights.
        modality_channels: Channels of the optical (always 3) and of the auxiliary image.
        out_indices: Taps: the blocks whose output leaves, ascending.
        cpia: Arguments of :class:`CPIA` but ``embed_dims``; ``None`` leaves the streams apart.
        with_cp: Keep the blocks' inputs and what attention gives alone for the backward pass, and
            compute the rest of their insides anew (activation checkpointing): less memory, longer
            steps.
        adapter: Config of what updates the frozen blocks inside, ``dict(type='LoRA', rank=28)``, in
            CPIA's place or beside it; ``None`` leaves them as they are.
        allow_random_encoder: Run without pretrained weights, for demos and tests.
        init_cfg: mmengine's initialisation config.

    Raises:
        ValueError: If the optical image has not 3 channels or the auxiliary one none, ``encoder``
            is another model, or the taps are not ascending blocks of it.
    """

    def __init__(
        self,
        encoder: dict,
        modality_channels: Sequence[int] = (3, 1),
        out_indices: Sequence[int] = (2, 5, 8, 11),
        cpia: dict | None = None,
        with_cp: bool = False,
        adapter: dict | None = None,
        allow_random_encoder: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(encoder, modality_channels, allow_random_encoder, init_cfg)
        self.out_indices = tuple(out_indices)
        self.with_cp = with_cp
        self._check_taps()
        self.aux_embed = AuxPatchEmbed(self.encoder.projection, self.modality_channels[1])
        self.cpia = None
        if cpia is not None:
            self.cpia = nn.ModuleList(
                CPIA(self.encoder.embed_dims, **cpia) for _ in self.out_indices
            )

        self.adapter = None
        if adapter is not None:
            size = dict(embed_dims=self.encoder.embed_dims, num_blocks=self.out_indices[-1] + 1)
            self.adapter = MODELS.build({'_scope_': 'mmseg', **adapter, **size})
            self.adapter.attach(self.encoder)

    def _check_taps(self) -> None:
        taps = self.out_indices
        ascending = all(a < b for a, b in zip((-1, *taps), taps, strict=False))
        if not taps or not ascending or taps[-1] >= self.encoder.num_blocks:
            raise ValueError(
                f'out_indices={taps}; taps are ascending blocks of the encoder, 0 to '
                f'{self.encoder.num_blocks - 1}.'
            )

    def init_weights(self) -> None:
        """Load the encoder's weights and start the aux patch embedding from the encoder's."""
        super().init_weights()
        self.aux_embed.start_from(self.encoder.projection)

    def forward(self, inputs: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Encode a stacked batch.

        Args:
            inputs: (B, C, H, W), normalised; H and W are multiples of the patch size.

        Returns:
            ``(rgb_maps, aux_maps)``, one (B, C, h, w) map per tap and stream.

        Raises:
            RuntimeError: If the encoder never got weights and ``allow_random_encoder`` is not set.
            ValueError: If the channels or the size do not fit.
        """
        self.check(inputs)
        rgb, aux = inputs.split(self.modality_channels, dim=1)
        rgb, aux = self.encoder.projection(rgb), self.aux_embed(aux)  # (B, C, h, w) each
        apart = self.cpia is None and self.adapter is None
        if apart and rgb.requires_grad != aux.requires_grad:
            # one batch would keep the activations of both for a gradient that one has not
            return tuple(self._encode(rgb)), tuple(self._encode(aux))
        maps = self._encode(torch.cat([rgb, aux]))
        rgb_maps, aux_maps = zip(*(stage.chunk(2) for stage in maps), strict=True)
        return rgb_maps, aux_maps

    @torch.no_grad()
    def merged(self, stream: int) -> dict[str, Tensor]:
        """Give the weights of a plain ViT that does by itself what one stream does.

        The adapter is in it, and the stream's patch embedding; an auxiliary image of one channel is
        repeated to three.

        Args:
            stream: 0 for the optical stream, 1 for the auxiliary one.

        Returns:
            State dict of ``encoder.vit``.

        Raises:
            ValueError: If there is no adapter, or CPIA lets the streams act on each other.
        """
        if self.adapter is None or self.cpia is not None:
            has = 'no LoRA' if self.adapter is None else 'CPIA, through which the streams meet'
            raise ValueError(
                f'A stream of this backbone is no ViT by itself, which has {has}: merge one that '
                "was trained with cpia=None, adapter=dict(type='LoRA', rank=...)."
            )
        state = self.adapter.merged(self.encoder, stream)
        if stream == 1:
            names = {parameter: name for name, parameter in self.encoder.vit.named_parameters()}
            pairs = zip(
                self.encoder.projection.parameters(),
                self.aux_embed.projection.parameters(),
                strict=True,
            )
            state.update({names[frozen]: trained.clone() for frozen, trained in pairs})
        return state

    def _encode(self, patches: Tensor) -> list[Tensor]:
        """Run the embedded patches of both streams, (2B, C, h, w), or of one; a map a tap."""
        grid = tuple(patches.shape[-2:])
        tokens = self.encoder.add_positions(patches)
        maps, first = [], 0
        for stage, last in enumerate(self.out_indices):
            if self.cpia is not None:
                tokens = self._interact(tokens, self.cpia[stage])
            tokens = self._run_blocks(tokens, first, last, grid)
            maps.append(self.encoder.tap(tokens, grid))
            first = last + 1
        return maps

    def _interact(self, tokens: Tensor, cpia: CPIA) -> Tensor:
        """Apply CPIA to the patch tokens of (2B, T + N, C) tokens; special tokens pass by."""
        streams = tokens.unflatten(0, (2, -1))
        return cpia.exchange(streams, self.encoder.num_special_tokens).flatten(0, 1)

    def _run_blocks(self, tokens: Tensor, first: int, last: int, grid: tuple[int, int]) -> Tensor:
        """Run the blocks of a stage, of which ``with_cp`` keeps little for backward."""
        if not (self.with_cp and tokens.requires_grad):
            return self.encoder.run_blocks(tokens, first, last, grid)
        for block in range(first, last + 1):
            tokens = checkpoint(
                self.encoder.run_blocks,
                *(tokens, block, block, grid),
                use_reentrant=False,
                context_fn=partial(create_selective_checkpoint_contexts, ATTENTION),
                preserve_rng_state=False,  # blocks in eval mode draw nothing
            )
        return tokens


class AuxPatchEmbed(nn.Module):
    """The auxiliary stream's own, trainable patch embedding.

    One channel is repeated to the encoder's three. Any other number gets filters of its own, which
    start from the pretrained ones' mean over their channels, scaled so that the same value in all
    channels gives the same token as before.

    Source: MoBaNet (arXiv:2603.17705), Eq. 2.

    Args:
        projection: The encoder's patch embedding.
        channels: Channels of the auxiliary image.
    """

    def __init__(self, projection: nn.Conv2d, channels: int) -> None:
        super().__init__()
        self.repeats = projection.in_channels if channels == 1 else 1
        self.projection = nn.Conv2d(
            channels * self.repeats,
            projection.out_channels,
            projection.kernel_size,
            projection.stride,
            bias=projection.bias is not None,
        )
        self.start_from(projection)

    @torch.no_grad()
    def start_from(self, projection: nn.Conv2d) -> None:
        """Copy the weights of an RGB patch embedding."""
        weight, channels = projection.weight, self.projection.in_channels
        if channels != weight.shape[1]:
            mean = weight.mean(dim=1, keepdim=True) * weight.shape[1] / channels
            weight = mean.expand(-1, channels, -1, -1)
        self.projection.weight.copy_(weight)
        if projection.bias is not None:
            self.projection.bias.copy_(projection.bias)

    def forward(self, aux: Tensor) -> Tensor:
        """Embed a (B, Ca, H, W) image into a (B, C, h, w) map of patches."""
        return self.projection(aux.repeat(1, self.repeats, 1, 1))
