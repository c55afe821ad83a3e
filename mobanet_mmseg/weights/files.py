"""Reads files of tensors; nothing in them is ever run."""

import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.runner.checkpoint import (
    CheckpointLoader,
    get_external_models,
    get_torchvision_models,
)
from safetensors.torch import load_file
from torch import Tensor

from mobanet_mmseg.downloads import ChecksumError, NotFetchedError, fetched, kept_path
from mobanet_mmseg.weights.fingerprints import with_origin
from mobanet_mmseg.weights.names import PATCH_EMBEDDING, to_mmpretrain_names
from mobanet_mmseg.writing import NotWrittenError


class CheckpointError(ValueError):
    """A file that holds no tensors, or not those of the model."""


def read_file(source: str | Path, kind: str, advice: str) -> dict[str, Any]:
    """Read a file of tensors; those of a local file stay on disk until they are used.

    Args:
        source: Path of a file that torch wrote or of a ``.safetensors`` or ``.npz`` file, or an
            address that MMEngine can fetch, whose file is kept in torch's cache.
        kind: What the file should be, for the errors.
        advice: What the user can do, for the errors.

    Returns:
        What the file holds.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be fetched.
        CheckpointError: If it holds no tensors, or code.
    """
    source = str(source)
    try:
        content = _read(source)
    except Exception as error:  # unpickling raises whatever the bytes make it raise
        raise _explain(error, source, kind, advice) from error
    if not (isinstance(content, dict) and isinstance(content.get('state_dict', {}), dict)):
        raise CheckpointError(f'{source} is no {kind}, it holds no dict of tensors: {advice}.')
    return content


def places_of(source: str, folder: Path | None = None, fetch: bool = True) -> list[str]:
    """Say where a weight file may lie, in the order in which it is looked for.

    That is where the config says, then in a folder under the same name; what has to be fetched
    comes last.

    Args:
        source: Path or address of the file in the config.
        folder: Where else it may lie.
        fetch: Whether it may be fetched.

    Returns:
        Paths and addresses; the one of the config even where nothing is there.
    """
    beside = [str(folder / name_of(source))] if folder else []
    beside = [path for path in beside if Path(path).is_file()]
    if '://' in source and not kept_path(_address(source)).exists():
        return [*beside, source] if fetch else beside
    return [source, *beside]


def name_of(source: str) -> str:
    """Say under what name a weight file is kept.

    Args:
        source: Its path or address.
    """
    return kept_path(_address(source)).name if '://' in source else _local(source).name


def read_encoder(source: str, prefix: str = '') -> dict[str, Tensor]:
    """Read an encoder from any file that is known, see :mod:`mobanet_mmseg.weights.names`.

    Args:
        source: See :func:`read_file`.
        prefix: What the encoder's names begin with; it is found where it is not given.

    Returns:
        The encoder's tensors by mmpretrain's names; what stands beside it in the file (heads, SAM's
        decoder) is left out.

    Raises:
        FileNotFoundError: See :func:`read_file`.
        CheckpointError: If the file holds no ViT, or several.
    """
    tensors = read_tensors(source, prefix)
    found = {match[1] for name in tensors if (match := PATCH_EMBEDDING.match(name))}
    if len(found) > 1:
        raise CheckpointError(
            f'{source} holds {len(found)} encoders, whose names begin with '
            f'{", ".join(sorted(prefix + each for each in found))}: name one of them with '
            'init_cfg.prefix.'
        )
    inner = found.pop() if found else ''
    renamed = to_mmpretrain_names(
        {name.removeprefix(inner): v for name, v in tensors.items() if name.startswith(inner)}
    )
    if not renamed.keys() >= {'patch_embed.projection.weight', 'layers.0.attn.qkv.weight'}:
        raise CheckpointError(
            f'{source} holds no ViT that is known; its names begin like '
            f'{", ".join(list(tensors)[:3])}: give the file of DINOv2, DINOv3 or SAM as Meta,'
            ' OpenMMLab, Hugging Face or timm publish it.'
        )
    return renamed


def read_tensors(
    source: str, prefix: str = '', setting: str = 'model.backbone.encoder.init_cfg'
) -> dict[str, Tensor]:
    """Read the tensors of an encoder's weight file by the file's names.

    Args:
        source: See :func:`read_file`.
        prefix: Only names that begin with it are kept, and it is cut off.
        setting: Key of the config that names the file, for the errors.

    Returns:
        Tensors by name.

    Raises:
        FileNotFoundError: See :func:`read_file`.
        CheckpointError: If no name begins with ``prefix``.
    """
    content = read_file(
        source,
        'weight file',
        f'set {setting}.checkpoint (--cfg-options) to the file that you have',
    )
    # MMEngine's checkpoints have a state_dict, those of MAE and its kin a model
    kept = [content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)]
    state_dict = kept[0] if kept else content
    tensors = {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix) and isinstance(value, Tensor)
    }
    if not tensors:
        raise CheckpointError(
            f'{source} holds no tensor whose name begins with {prefix!r}; its names begin like '
            f'{", ".join(map(str, list(state_dict)[:3])) or "nothing"}: change init_cfg.prefix or '
            'the file.'
        )
    return tensors


def _read_arrays(path: Path) -> dict[str, Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


# what MMEngine's loader does not read, and with what it is read
READERS = {'.safetensors': ('safetensors', load_file), '.npz': ('numpy', _read_arrays)}


def _read(source: str) -> Any:
    if (kind := _suffix(source)) in READERS:
        _, read = READERS[kind]
        return fetched(source, read) if '://' in source else read(_local(source))
    if '://' in source:
        return CheckpointLoader.load_checkpoint(source, map_location='cpu')
    path = _local(source)
    mapped = zipfile.is_zipfile(path)
    return torch.load(path, map_location='cpu', weights_only=True, mmap=mapped)


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a local file for MMEngine's own loaders, as theirs but for two things.

    Nothing in the file is run, and an encoder that a checkpoint leaves out is looked for beside it.

    Args:
        filename: Path of a file that torch wrote.
        map_location: See ``torch.load``.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = _local(filename)
    if not path.is_file():
        raise FileNotFoundError(f'{path} can not be found.')
    content = torch.load(path, map_location=map_location, weights_only=True)
    return with_origin(content, path) if isinstance(content, dict) else content


def _suffix(source: str) -> str:
    return Path(urlparse(source).path if '://' in source else source).suffix


def _address(source: str) -> str:
    """Give the address that a short name of MMEngine's stands for, torchvision://vgg16 for one."""
    scheme, _, name = source.partition('://')
    tables = {'torchvision': get_torchvision_models, 'open-mmlab': get_external_models}
    return tables[scheme]().get(name, source) if scheme in tables else source


def _local(source: str) -> Path:
    return Path(source).expanduser()


def _explain(error: Exception, source: str, kind: str, advice: str) -> Exception:
    """Say in a sentence why a file could not be read."""
    if isinstance(error, NotWrittenError):
        return error
    if isinstance(error, NotFetchedError):
        error = error.__cause__
    if '://' in source and isinstance(error, OSError):  # urllib's errors too
        return FileNotFoundError(
            f'The {kind} {source} cannot be fetched ({error}): download it elsewhere and put it '
            f'at {kept_path(_address(source))}, or {advice}.'
        )
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(f'The {kind} {Path(source).absolute()} does not exist: {advice}.')
    if isinstance(error, ChecksumError):
        return CheckpointError(
            f'What {source} gives is not the file that its name promises (wrong checksum): try '
            f'again, or {advice}.'
        )
    reader, _ = READERS.get(_suffix(source), ('torch', None))
    how = ' with weights_only=True' if reader == 'torch' else ''
    return CheckpointError(
        f'{source} is no {kind} that {reader} can read{how} ({type(error).__name__}): {advice}.'
    )
