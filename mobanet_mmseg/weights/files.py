"""Reads an encoder's weight file and places every tensor, or says which one has no place."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from torch import Tensor, nn
from torch.hub import HASH_REGEX, download_url_to_file, get_dir

from mobanet_mmseg.weights.names import PATCH_EMBEDDING, to_mmpretrain_names
from mobanet_mmseg.weights.safetensors import read_safetensors

Shapes = dict[str, tuple[int, ...]]

# In files, but of no use here: DINOv2's token for masked image modelling and SAM's neck.
UNUSED_TENSORS = re.compile(r'^(?:mask_token$|channel_reduction\.)')


def read_state_dict(source: str, prefix: str = '') -> dict[str, Tensor]:
    """Read the tensors of a weight file, without running any code that the file holds.

    Args:
        source: Path of a file that torch wrote or of a ``.safetensors`` file, or its http(s)
            address, which is fetched once.
        prefix: Only names that begin with it are kept, and it is cut off.

    Returns:
        Tensors by name.

    Raises:
        FileNotFoundError: If there is no such file, or the address cannot be reached.
        ValueError: If the file is no weight file, or no name begins with ``prefix``.
    """
    path = _fetch(source) if urlparse(source).scheme in ('http', 'https') else Path(source)
    path = path.expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"The encoder's weight file {path.absolute()} is not there: put it there or "
            'set model.backbone.encoder.init_cfg.checkpoint to the file that you have.'
        )
    checkpoint = read_safetensors(path) if path.suffix == '.safetensors' else _read_pickle(path)
    state_dict = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else {}
    tensors = {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix) and isinstance(value, Tensor)
    }
    if not tensors:
        raise ValueError(
            f'{source} holds no tensor whose name begins with {prefix!r}; its names begin like '
            f'{", ".join(map(str, list(state_dict)[:3])) or "nothing"}: change init_cfg.prefix or '
            'the file.'
        )
    return tensors


def read_encoder(source: str, prefix: str = '') -> dict[str, Tensor]:
    """Read an encoder from any file that is known, see :mod:`mobanet_mmseg.weights.names`.

    Args:
        source: See :func:`read_state_dict`.
        prefix: What the encoder's names begin with; it is found where it is not given.

    Returns:
        The encoder's tensors by mmpretrain's names; what stands beside it in the file (heads, SAM's
        decoder) is left out.

    Raises:
        FileNotFoundError: See :func:`read_state_dict`.
        ValueError: If the file holds no ViT, or several.
    """
    tensors = read_state_dict(source, prefix)
    found = {match[1] for name in tensors if (match := PATCH_EMBEDDING.match(name))}
    if len(found) > 1:
        raise ValueError(
            f'{source} holds {len(found)} encoders, whose names begin with '
            f'{", ".join(sorted(prefix + each for each in found))}: name one of them with '
            'init_cfg.prefix.'
        )
    inner = found.pop() if found else ''
    renamed = to_mmpretrain_names(
        {name.removeprefix(inner): v for name, v in tensors.items() if name.startswith(inner)}
    )
    if not renamed.keys() >= {'patch_embed.projection.weight', 'layers.0.attn.qkv.weight'}:
        raise ValueError(
            f'{source} holds no ViT that is known; its names begin like '
            f'{", ".join(list(tensors)[:3])}: give the file of DINOv2 or of SAM as Meta, OpenMMLab,'
            ' Hugging Face or timm (DINOv2 only) publish it.'
        )
    return renamed


@dataclass(frozen=True)
class Architecture:
    """What tells one encoder's weights from another's."""

    kind: str
    embed_dims: int
    num_blocks: int
    patch_size: int
    num_registers: int

    @classmethod
    def of(cls, tensors: dict[str, Tensor]) -> 'Architecture':
        """Read it off an encoder's tensors by mmpretrain's names."""
        kind = 'ViT without layer scale'
        if 'layers.0.attn.rel_pos_h' in tensors:
            kind = 'SAM encoder'
        elif 'layers.0.attn.gamma1.weight' in tensors:
            kind = 'DINOv2'
        filters = tensors['patch_embed.projection.weight']
        blocks = {match[1] for name in tensors if (match := re.match(r'layers\.(\d+)\.', name))}
        registers = tensors.get('register_tokens')
        return cls(
            kind,
            embed_dims=filters.shape[0],
            num_blocks=len(blocks),
            patch_size=filters.shape[-1],
            num_registers=0 if registers is None else registers.shape[1],
        )

    def __str__(self) -> str:
        """Say it in words."""
        registers = f' and {self.num_registers} registers' if self.num_registers else ''
        return (
            f'a {self.kind} of {self.num_blocks} blocks, {self.embed_dims} channels, '
            f'patches of {self.patch_size}{registers}'
        )


def check_architecture(
    tensors: dict[str, Tensor], expected: dict[str, Tensor], source: str
) -> None:
    """Refuse the file of another encoder, before its tensors are compared one by one.

    Args:
        tensors: The file's tensors by mmpretrain's names.
        expected: The encoder's own.
        source: Where the tensors come from, for the error.

    Raises:
        ValueError: If the kind, depth, width, patch size or number of registers differs.
    """
    given, wanted = Architecture.of(tensors), Architecture.of(expected)
    if given != wanted:
        raise ValueError(
            f'{source} holds {given}, but the encoder in the config is {wanted}: give the file of '
            'that encoder, or the config of this one.'
        )


def place(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copy tensors into a module, every one of them and every parameter.

    Args:
        module: Gets the weights.
        tensors: Tensors by the module's parameter names.
        source: Where they come from, for the error.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape; all are listed.
    """
    tensors = {name: value for name, value in tensors.items() if not UNUSED_TENSORS.match(name)}
    found = misfits(shapes_of(tensors), shapes_of(module.state_dict()))
    if found:
        raise ValueError(
            f'The weights of {source} do not fit the encoder in the config ({found}): give the '
            'file of this architecture, image and patch size.'
        )
    module.load_state_dict(tensors)


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    """Shape of each tensor."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def misfits(given: Shapes, expected: Shapes) -> str:
    """Say which tensors are missing, left over or of another shape.

    Args:
        given: Shapes of the tensors that there are, by name.
        expected: Shapes of those that are wanted.

    Returns:
        The number of each kind and its first names; empty where all fit.
    """
    kinds = {
        'missing': [name for name in expected if name not in given],
        'left over': [name for name in given if name not in expected],
        'of another shape': [
            f'{name} {given[name]} for {shape}'
            for name, shape in expected.items()
            if name in given and given[name] != shape
        ],
    }
    return '; '.join(
        f'{len(names)} {kind}: {", ".join(names[:5])}{" ..." if len(names) > 5 else ""}'
        for kind, names in kinds.items()
        if names
    )


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # unpickling raises whatever the bytes make it raise
        raise ValueError(
            f'{path} is no weight file that torch can read with weights_only=True '
            f'({type(error).__name__}): give a .pth file of tensors.'
        ) from error


def _fetch(address: str) -> Path:
    """Download a file once, into torch's own cache.

    mmengine's and torch's loaders of addresses unpickle what they fetch without ``weights_only``.
    """
    path = Path(get_dir()) / 'checkpoints' / Path(urlparse(address).path).name
    if is_main_process():
        _download(address, path)
    barrier()
    _download(address, path)  # on machines that do not share the main process's disk
    return path


def _download(address: str, path: Path) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    checksum = HASH_REGEX.search(path.name)
    try:
        download_url_to_file(address, str(path), checksum[1] if checksum else None)
    except OSError as error:  # urllib's errors too
        raise FileNotFoundError(
            f"The encoder's weights cannot be fetched from {address}: download this file elsewhere,"
            f' put it at {path}, or pass '
            '--cfg-options model.backbone.encoder.init_cfg.checkpoint=FILE.'
        ) from error
    except RuntimeError as error:
        raise ValueError(
            f'What {address} gives is not the file that its name promises (wrong checksum): '
            'try again, or download it elsewhere.'
        ) from error
