"""One face for the frozen ViTs: embed, run blocks, tap.

An encoder knows nothing of modalities, stages' adapters or freezing; it turns an image into tokens,
runs some of its blocks on them, and turns tokens into a feature map.
"""

from abc import abstractmethod
from collections.abc import Sequence, Set
from pathlib import Path

from mmengine.model import BaseModule
from torch import Tensor, nn

from mobanet_mmseg.weights.checkpoints import (
    Architecture,
    architecture_of,
    mismatches,
    shapes_of,
)
from mobanet_mmseg.weights.files import CheckpointError, name_of, places_of, read_encoder
from mobanet_mmseg.weights.fingerprints import FINGERPRINT, Origin, fingerprint_of, in_hex
from mobanet_mmseg.weights.names import UNUSED


class Encoder(BaseModule):
    """A frozen ViT behind one interface; ``docs/add_an_encoder.md`` adds another.

    A state dict may hold a fingerprint in the place of the ViT: the encoder then keeps its own
    weights, or reads its weight file, if they are those; see ``docs/checkpoints.md``.

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
        weights_to_come: Whether a checkpoint that is about to be loaded brings them, so that
            :meth:`init_weights` leaves them alone.

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
        self.weights_to_come = False

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

    @property
    def compilable_blocks(self) -> list[nn.Module]:
        """The blocks, where :meth:`run_blocks` calls each as a whole, as ``torch.compile`` asks."""
        return list(self.vit.layers)

    @property
    def qkv_layers(self) -> list[nn.Linear]:
        """Of each block the layer that gives queries, keys and values, (..., C) -> (..., 3C)."""
        return [block.attn.qkv for block in self.vit.layers]

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
        if self.weights_to_come:
            return
        if self.pretrained is None:
            super().init_weights()
            return
        tensors, _ = self.read_pretrained(self.pretrained['checkpoint'])
        self.vit.load_state_dict(tensors)
        self.weights_given = True

    def read_pretrained(self, source: str) -> tuple[dict[str, Tensor], set[str]]:
        """Read a weight file for this encoder, tensor by tensor.

        Args:
            source: Path or address.

        Returns:
            The tensors by the names of ``vit``, and the names of those that the file has for
            another grid.

        Raises:
            FileNotFoundError: See :meth:`read_weights`.
            CheckpointError: See :meth:`init_weights`.
        """
        read = self.read_weights(source, (self.pretrained or {}).get('prefix', ''))
        tensors = self.fit_positions(read)
        found = mismatches(shapes_of(tensors), shapes_of(self.vit.state_dict()))
        if found:
            raise CheckpointError(
                f'The weights of {source} do not fit the encoder in the config ({found}): give the '
                'file of this architecture, image and patch size.'
            )
        return tensors, {name for name in tensors if tensors[name] is not read.get(name)}

    def describe(self) -> dict[str, str]:
        """Say in words what it is, for the files that are made with it.

        Returns:
            ``class``, ``architecture``, ``file`` and ``licence`` of the weights.
        """
        source = (self.pretrained or {}).get('checkpoint')
        kind = type(self).__name__
        return {
            'class': kind,
            'architecture': architecture_of(self.vit.state_dict())
            or f'a {kind} of {self.num_blocks} blocks, {self.embed_dims} channels, '
            f'patches of {self.patch_size}',
            'file': '' if source is None else name_of(str(source)),
            'licence': self.licence,
        }

    def recover(
        self, fingerprint: Tensor, kept: Set[str], prefix: str, origin: Origin | None
    ) -> dict[str, Tensor]:
        """Find the tensors that a checkpoint leaves out.

        Args:
            fingerprint: What it has in their place.
            kept: Names of ``vit`` that it holds.
            prefix: What the encoder's names begin with in it, for the error.
            origin: Where it comes from, if that is known.

        Returns:
            Tensors by the names of ``vit``.

        Raises:
            CheckpointError: If neither the encoder nor a weight file has them.
        """
        wanted, found = in_hex(fingerprint), []
        own = {name: value for name, value in self.vit.state_dict().items() if name not in kept}
        if self.weights_given:
            if (given := in_hex(fingerprint_of(own))) == wanted:
                return own
            found.append(f"the model's own is another one ({given[:8]})")
        elif self.pretrained is None:
            found.append('the config names no file of it')
        for source in self._places(origin and origin.folder):
            try:
                tensors, _ = self.read_pretrained(source)
            except (CheckpointError, FileNotFoundError) as error:
                found.append(str(error).rstrip('.'))
                continue
            tensors = {name: tensors[name] for name in own}
            if (given := in_hex(fingerprint_of(tensors))) == wanted:
                return tensors
            found.append(f'{source} holds another one ({given[:8]})')
        words = f'{origin.words}, ' if origin and origin.words else ''
        setting = f'model.{prefix.removeprefix("module.")}init_cfg.checkpoint'
        raise CheckpointError(
            f'{origin.source if origin else "The checkpoint"} leaves out its frozen encoder '
            f'({words}fingerprint {wanted[:8]}), which is not at hand ({"; ".join(found)}): set '
            f'{setting} (--cfg-options) to the file that it was trained with, or put that file '
            'beside the checkpoint.'
        )

    def _places(self, folder: Path | None) -> list[str]:
        source = (self.pretrained or {}).get('checkpoint')
        return [] if source is None else places_of(str(source), folder)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, local_metadata: dict, *args: object
    ) -> None:
        fingerprint = state_dict.pop(prefix + FINGERPRINT, None)
        if fingerprint is not None:
            vit = f'{prefix}vit.'
            kept = {name.removeprefix(vit) for name in state_dict if name.startswith(vit)}
            origin = local_metadata.get('origin')
            origin = origin if isinstance(origin, Origin) else None  # never what a file says itself
            tensors = self.recover(fingerprint, kept, prefix, origin)
            state_dict.update({vit + name: value for name, value in tensors.items()})
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        if all(
            prefix + name in state_dict and state_dict[prefix + name].shape == value.shape
            for name, value in self.state_dict().items()
        ):
            self.weights_given = True
