"""One face for the frozen ViTs: embed, run blocks, tap.

An encoder knows nothing of modalities, stages' adapters or freezing; it turns an image into tokens,
runs some of its blocks on them, and turns tokens into a feature map.
"""

from abc import abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mobanet_mmseg.weights.checkpoints import Architecture, mismatches, shapes_of
from mobanet_mmseg.weights.files import CheckpointError, read_encoder
from mobanet_mmseg.weights.names import UNUSED


class Encoder(BaseModule):
    """A frozen ViT behind one interface; ``docs/add_an_encoder.md`` adds another.

    Tokens are (B, T + N, C): T special tokens (CLS, registers; 0 where a ViT has none), then the
    N = h * w patch tokens, row by row.

    Args:
        vit: The ViT, built, with the names of mmpretrain's.
        init_cfg: ``dict(type='Pretrained', checkpoint=..., prefix=...)``, or ``None``; the prefix
            is needed only for a file that holds several encoders.

    Attributes:
        num_special_tokens: T, which a subclass sets.
        licence: Licence of the published weights, by SPDX's name; a subclass sets it.
        overflows_in_fp16: Whether its activations leave the range of 16-bit floats.
        weights_given: Whether every tensor came from a file or a checkpoint.

    Raises:
        ValueError: If ``init_cfg`` names no pretrained weights.
    """

    num_special_tokens: int
    licence: str = 'not stated'
    overflows_in_fp16: bool = False

    def __init__(self, vit: nn.Module, init_cfg: dict | None = None) -> None:
        super().__init__()
        if init_cfg is not None and init_cfg.get('type') != 'Pretrained':
            raise ValueError(
                f'encoder.init_cfg has type {init_cfg.get("type")!r}; a frozen encoder takes '
                "dict(type='Pretrained', checkpoint=FILE)."
            )
        self.vit = vit
        self.pretrained = init_cfg
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

    @abstractmethod
    def fit_positions(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Resize the position embeddings of another native grid to this encoder's.

        Args:
            tensors: Weights by mmpretrain's names; stay as they are.

        Returns:
            The weights, with positions for the grid of the config's ``img_size``.
        """

    def check_mean(self, mean: Sequence[float]) -> None:
        """Warn of a mean of other images than the weights were trained on; a subclass may.

        Args:
            mean: What optical images are normalised by, R G B of 0 to 255.
        """

    def read_weights(self, source: str, prefix: str) -> dict[str, Tensor]:
        """Read a weight file; to be overridden where a ViT is not named as mmpretrain's.

        Args:
            source: See :func:`mobanet_mmseg.weights.files.read_file`.
            prefix: What the encoder's names begin with; empty finds it.

        Returns:
            Tensors by the names of ``vit``.

        Raises:
            FileNotFoundError: If the file can be neither found nor fetched.
            CheckpointError: If it holds no encoder, or one of another kind, depth, width, patch
                size or number of registers.
        """
        tensors = read_encoder(source, prefix)
        given, wanted = (Architecture.of(each) for each in (tensors, self.vit.state_dict()))
        if given != wanted:
            raise CheckpointError(
                f'{source} holds {given}, but the encoder in the config is {wanted}: give the file '
                'of that encoder, or the config of this one.'
            )
        own = self.vit.state_dict()
        return {n: value for n, value in tensors.items() if n in own or not UNUSED.match(n)}

    def init_weights(self) -> None:
        """Load the configured weights, or draw random ones where none are configured.

        Raises:
            FileNotFoundError: See :meth:`read_weights`.
            CheckpointError: See :meth:`read_weights`; or if a tensor is missing, left over or of
                another shape.
        """
        if self.pretrained is None:
            super().init_weights()
            return
        source = self.pretrained['checkpoint']
        tensors = self.read_weights(source, self.pretrained.get('prefix', ''))
        tensors = self.fit_positions(tensors)
        found = mismatches(shapes_of(tensors), shapes_of(self.vit.state_dict()))
        if found:
            raise CheckpointError(
                f'The weights of {source} do not fit the encoder in the config ({found}): give the '
                'file of this architecture, image and patch size.'
            )
        self.vit.load_state_dict(tensors)
        self.weights_given = True

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        if all(
            prefix + name in state_dict and state_dict[prefix + name].shape == value.shape
            for name, value in self.state_dict().items()
        ):
            self.weights_given = True
