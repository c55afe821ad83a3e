"""Checkpoints of what was trained alone: leaves frozen encoders out, and puts them back."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.weights.files import CheckpointError, places_of
from mobanet_mmseg.weights.fingerprints import (
    FINGERPRINT,
    STATE_DICTS,
    Origin,
    fingerprint_of,
    in_hex,
)


class WeightFile(NamedTuple):
    """What a weight file holds of an encoder, as the encoder takes it.

    Args:
        source: Its path or address.
        fingerprint: Of all but the resized tensors, see :func:`fingerprint_of`.
        resized: Names of the tensors that the file has for another grid; checkpoints keep them,
            for machines resize in their own ways.
    """

    source: str
    fingerprint: Tensor
    resized: frozenset[str]

    @classmethod
    def all_of(cls, encoder: Encoder, folder: Path | None) -> 'list[WeightFile]':
        """Read the weight files of an encoder that there are; nothing is fetched.

        Args:
            encoder: The encoder.
            folder: Where a file may lie beside the place in the config.

        Raises:
            CheckpointError: If there is none that can be read.
        """
        if encoder.pretrained is None:
            raise CheckpointError('the config names no weight file of it')
        wanted, files, errors = str(encoder.pretrained['checkpoint']), [], []
        for source in places_of(wanted, folder, fetch=False):
            try:
                tensors, resized = encoder.read_pretrained(source)
            except (CheckpointError, FileNotFoundError) as error:
                errors.append(str(error).rstrip('.'))
                continue
            fixed = {name: value for name, value in tensors.items() if name not in resized}
            files.append(cls(source, fingerprint_of(fixed), frozenset(resized)))
        if not files:
            raise CheckpointError('; '.join(errors) or f'{wanted} is not kept on this machine')
        return files


def encoders_of(model: nn.Module) -> dict[str, Encoder]:
    """Find the frozen encoders of a model.

    Args:
        model: A segmentor, not wrapped.

    Returns:
        The encoders by what the names of their tensors begin with, dot included.
    """
    return {
        f'{name}.': module for name, module in model.named_modules() if isinstance(module, Encoder)
    }


def weight_files(encoders: Iterable[Encoder], checkpoint: Path) -> list[str]:
    """Say what encoders may be read from, so that it is not written over.

    Args:
        encoders: Of a model.
        checkpoint: Beside which a weight file may lie.
    """
    folder = checkpoint.absolute().parent
    wanted = [str(each.pretrained['checkpoint']) for each in encoders if each.pretrained]
    return [place for source in wanted for place in places_of(source, folder, fetch=False)]


def described(encoders: dict[str, Encoder]) -> dict[str, dict[str, str]]:
    """Say what pretrained encoders are, for the ``meta`` of checkpoints.

    Args:
        encoders: From :func:`encoders_of`.

    Returns:
        See :meth:`Encoder.describe`, by the names of the modules.
    """
    return {
        prefix.rstrip('.'): encoder.describe()
        for prefix, encoder in encoders.items()
        if encoder.pretrained is not None
    }


def brings(tensors: dict[str, Any], encoder: Encoder, prefix: str) -> bool:
    """Say whether a state dict gives an encoder all its tensors, or a fingerprint of them.

    Args:
        tensors: The state dict.
        encoder: The encoder.
        prefix: What its names begin with.
    """
    own = encoder.state_dict()
    return prefix + FINGERPRINT in tensors or all(
        isinstance(given := tensors.get(prefix + name), Tensor) and given.shape == value.shape
        for name, value in own.items()
    )


def leave_out(
    checkpoint: dict[str, Any], encoder: Encoder, prefix: str, files: Sequence[WeightFile]
) -> WeightFile:
    """Put a fingerprint in the place of an encoder, in all the state dicts of a checkpoint.

    Args:
        checkpoint: What is to be saved; changed in place.
        encoder: The encoder.
        prefix: What its names begin with.
        files: Its weight files.

    Returns:
        The file that gives the encoder back.

    Raises:
        CheckpointError: If the encoder is trained, or has not the weights of any file; nothing is
            changed then.
    """
    if any(parameter.requires_grad for parameter in encoder.parameters()):
        raise CheckpointError('it is trained')
    own = encoder.vit.state_dict()
    for file in files:
        names = {f'vit.{name}': name for name in own if name not in file.resized}
        if all(
            _fingerprint(tensors, start, names) == in_hex(file.fingerprint)
            for tensors, start in _state_dicts(checkpoint, prefix)
        ):
            for tensors, start in _state_dicts(checkpoint, prefix):
                for name in names:
                    del tensors[start + name]
                tensors[start + FINGERPRINT] = file.fingerprint.clone()
            return file
    raise CheckpointError(
        f'its weights are not those of {" or ".join(file.source for file in files)}'
    )


def put_back(checkpoint: dict[str, Any], encoder: Encoder, prefix: str, source: str | Path) -> bool:
    """Put an encoder in the place of its fingerprint, in all the state dicts of a checkpoint.

    Args:
        checkpoint: What a file holds; changed in place.
        encoder: The encoder of the config.
        prefix: What its names begin with.
        source: Path or address of the file.

    Returns:
        Whether there was a fingerprint.

    Raises:
        CheckpointError: If no weight file gives the encoder that was left out.
    """
    own, found = encoder.vit.state_dict(), False
    for tensors, start in _state_dicts(checkpoint, prefix):
        fingerprint = tensors.pop(start + FINGERPRINT, None)
        if fingerprint is None:
            continue
        kept = {name for name in own if f'{start}vit.{name}' in tensors}
        origin = Origin.of(source, checkpoint.get('meta'), prefix)
        recovered = encoder.recover(fingerprint, kept, prefix, origin)
        for name, value in recovered.items():  # copied: in the file it may be part of a larger one
            tensors[f'{start}vit.{name}'] = value.to(own[name].dtype, copy=True)
        found = True
    return found


def _state_dicts(checkpoint: dict[str, Any], prefix: str) -> Iterator[tuple[dict, str]]:
    """The state dicts of a checkpoint, and what an encoder's names begin with in each."""
    for key, start in STATE_DICTS.items():
        if isinstance(checkpoint.get(key), dict):
            yield checkpoint[key], start + prefix


def _fingerprint(tensors: dict[str, Any], start: str, names: dict[str, str]) -> str:
    """The fingerprint of an encoder in a state dict; empty where tensors are missing."""
    if not all(start + name in tensors for name in names):
        return ''
    return in_hex(fingerprint_of({inner: tensors[start + name] for name, inner in names.items()}))
