"""Reads an encoder's weight file and places every tensor, or says which one has no place."""

import re
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

# In files, but of no use to a segmentation encoder: DINOv2's token for masked image modelling.
UNUSED_TENSORS = frozenset({'mask_token'})

# Names of Meta's dinov2_*_pretrain.pth, and what mmpretrain calls the same tensors; in this order.
META_TO_MMPRETRAIN = (
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^norm\.', 'ln1.'),
    (r'^blocks\.', 'layers.'),
    (r'\.norm([12])\.', r'.ln\1.'),
    (r'\.mlp\.fc1\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.ffn.layers.1.'),
    (r'\.mlp\.(w12|w3)\.', r'.ffn.\1.'),
    (r'\.ls1\.gamma$', '.attn.gamma1.weight'),
    (r'\.ls2\.gamma$', '.ffn.gamma2.weight'),
)


def read_state_dict(source: str, prefix: str = '') -> dict[str, Tensor]:
    """Read the tensors of a weight file.

    Args:
        source: Path of a file, or an address that mmengine can fetch.
        prefix: Only names that begin with it are kept, and it is cut off.

    Returns:
        Tensors by name.

    Raises:
        FileNotFoundError: If there is no such file, or the address cannot be reached.
        ValueError: If the file is no checkpoint, or no name begins with ``prefix``.
    """
    try:
        checkpoint = CheckpointLoader.load_checkpoint(source, map_location='cpu')
    except OSError as error:  # urllib's errors too
        raise FileNotFoundError(_where_to_put(source)) from error
    except Exception as error:  # unpickling raises whatever the bytes make it raise
        raise ValueError(
            f'{source} is no weight file that torch can read with weights_only=True '
            f'({type(error).__name__}): give a .pth file of tensors.'
        ) from error
    state_dict = checkpoint.get('state_dict', checkpoint) if isinstance(checkpoint, dict) else {}
    tensors = {
        name.removeprefix(prefix): value
        for name, value in state_dict.items()
        if name.startswith(prefix) and isinstance(value, Tensor)
    }
    if not tensors:
        raise ValueError(
            f'{source} holds no tensor whose name begins with {prefix!r}; its names begin like '
            f'{", ".join(list(state_dict)[:3]) or "nothing"}: change init_cfg.prefix or the file.'
        )
    return tensors


def to_mmpretrain_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of Meta's DINOv2 files to mmpretrain's names; leave other files alone."""
    if 'blocks.0.attn.qkv.weight' not in tensors:
        return tensors
    renamed = {}
    for name, value in tensors.items():
        for pattern, replacement in META_TO_MMPRETRAIN:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def place(module: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    """Copy tensors into a module, every one of them and every parameter.

    Args:
        module: Gets the weights.
        tensors: Tensors by the module's parameter names.
        source: Where they come from, for the error.

    Raises:
        ValueError: If a tensor is missing, left over or of another shape; all are listed.
    """
    tensors = {name: value for name, value in tensors.items() if name not in UNUSED_TENSORS}
    expected = module.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    left_over = sorted(tensors.keys() - expected.keys())
    wrong = [
        f'{name} {tuple(tensors[name].shape)} for {tuple(value.shape)}'
        for name, value in expected.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    if missing or left_over or wrong:
        findings = [
            f'{len(names)} {what}: {", ".join(names[:5])}{" ..." if len(names) > 5 else ""}'
            for what, names in (
                ('missing', missing),
                ('left over', left_over),
                ('of another shape', wrong),
            )
            if names
        ]
        raise ValueError(
            f'The weights of {source} do not fit the encoder in the config '
            f'({"; ".join(findings)}): give the file of this architecture, image and patch size.'
        )
    module.load_state_dict(tensors)


def _where_to_put(source: str) -> str:
    if not urlparse(source).scheme:
        return (
            f"The encoder's weight file {Path(source).absolute()} is not there: put it there or "
            'set model.backbone.encoder.init_cfg.checkpoint to the file that you have.'
        )
    folder = Path(torch.hub.get_dir()) / 'checkpoints'
    return (
        f"The encoder's weights cannot be fetched from {source}: download this file elsewhere, "
        f'put it at {folder / Path(urlparse(source).path).name}, or pass '
        '--cfg-options model.backbone.encoder.init_cfg.checkpoint=FILE.'
    )
