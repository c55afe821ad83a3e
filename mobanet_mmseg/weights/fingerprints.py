"""Knows a frozen encoder by a fingerprint, which stands for its tensors in a checkpoint.

A checkpoint of what was trained alone has ``<prefix>encoder.fingerprint`` in the place of
``<prefix>encoder.vit.*``. What its state dict is read from travels in the state dict's metadata, as
torch hands them to the modules that load it.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FINGERPRINT = 'fingerprint'
SIZE = 32  # bytes
HALVES = (torch.float16, torch.bfloat16)

# in a checkpoint: what the names of a state dict's tensors begin with beside those of the model
STATE_DICTS = {'state_dict': '', 'ema_state_dict': 'module.'}


@dataclass(frozen=True)
class Origin:
    """What the file that a state dict was read from says of an encoder that it leaves out.

    Args:
        source: Path or address of the file.
        words: The encoder in words; empty where the file says nothing.
    """

    source: str
    words: str = ''

    def __deepcopy__(self, memo: dict) -> 'Origin':
        """Stay as it is where a state dict is copied in memory."""
        return self

    def __reduce__(self) -> tuple[type, tuple]:
        """Say nothing in a file, where a state dict is saved again."""
        return OrderedDict, ()

    @classmethod
    def of(cls, source: str | Path, meta: Any, prefix: str) -> 'Origin':
        """Read in a checkpoint what an encoder is.

        Args:
            source: Path or address of the file.
            meta: Of the checkpoint.
            prefix: What the encoder's names begin with.
        """
        said = words_of(meta, prefix)
        known = [said[key] for key in ('architecture', 'file') if said.get(key)]
        return cls(str(source), ' from '.join(known))

    @property
    def folder(self) -> Path | None:
        """Where the file lies; None for an address."""
        return None if '://' in self.source else Path(self.source).expanduser().absolute().parent


def fingerprint_of(tensors: dict[str, Tensor]) -> Tensor:
    """Compute the SHA-256 of tensors: of their names, types, shapes and values.

    Args:
        tensors: By name, in any order; 16-bit floats count as the 32-bit ones of their values,
            for so a model holds what a file stores in half the room.

    Returns:
        (32,) uint8.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu()
        value = (value.float() if value.dtype in HALVES else value).contiguous()
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}\n'.encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy())
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def in_hex(fingerprint: Tensor) -> str:
    """Write a fingerprint as others write a SHA-256.

    Args:
        fingerprint: From :func:`fingerprint_of`, or what a file has in its place.
    """
    return ''.join(f'{int(number) % 256:02x}' for number in fingerprint.flatten()[:SIZE].tolist())


def left_out(tensors: dict[str, Any]) -> list[str]:
    """Find the encoders for which a state dict has fingerprints.

    Args:
        tensors: A state dict.

    Returns:
        What the names of each one's tensors begin with, dot included.
    """
    return [
        name.removesuffix(FINGERPRINT)
        for name in tensors
        if isinstance(name, str) and name.rpartition('.')[2] == FINGERPRINT
    ]


def words_of(meta: Any, prefix: str) -> dict[str, str]:
    """Read what a checkpoint says of an encoder.

    Args:
        meta: Of the checkpoint.
        prefix: What the encoder's names begin with.

    Returns:
        ``class``, ``architecture``, ``file`` and ``licence``; nothing where it does not say.
    """
    said = meta.get('frozen_encoders') if isinstance(meta, dict) else None
    said = said.get(prefix.removeprefix('module.').rstrip('.')) if isinstance(said, dict) else None
    said = said if isinstance(said, dict) else {}
    return {key: value for key, value in said.items() if isinstance(value, str)}


def with_origin(checkpoint: dict[str, Any], source: str | Path) -> dict[str, Any]:
    """Note in a checkpoint where it comes from, for the encoders that it leaves out.

    Args:
        checkpoint: What a file holds; stays as it is.
        source: Path or address of the file.

    Returns:
        The checkpoint, or weights alone, whose state dicts tell it to the modules that load them.
    """
    if 'state_dict' not in checkpoint:
        return _noted(checkpoint, {}, str(source))
    meta = checkpoint.get('meta')
    noted = {
        key: _noted(checkpoint[key], meta, str(source))
        for key in STATE_DICTS
        if isinstance(checkpoint.get(key), dict)
    }
    return {**checkpoint, **noted}


def _noted(tensors: dict[str, Any], meta: Any, source: str) -> dict[str, Any]:
    prefixes = left_out(tensors)
    if not prefixes:
        return tensors
    noted = OrderedDict(tensors)
    versions = getattr(tensors, '_metadata', None)
    noted._metadata = OrderedDict(versions if isinstance(versions, dict) else {})
    for prefix in prefixes:
        origin = Origin.of(source, meta, prefix)
        for module in {prefix[:-1], prefix[:-1].removeprefix('module.')}:
            version = noted._metadata.get(module)
            version = version if isinstance(version, dict) else {}
            noted._metadata[module] = {**version, 'origin': origin}
    return noted
