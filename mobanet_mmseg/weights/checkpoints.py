"""Reads checkpoints without running them, and says in words where one does not fit a model."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from mobanet_mmseg.weights.files import Shapes, misfits, shapes_of

ENCODER = 'backbone.encoder.vit.'
CLASSIFIER = re.compile(r'(decode|auxiliary)_head\.(.+\.)?conv_seg\.(weight|bias)')


class CheckpointError(ValueError):
    """A file that is no checkpoint, or a checkpoint that does not fit the model."""


def read_checkpoint(source: str | Path) -> dict[str, Any]:
    """Read a checkpoint; a local file's tensors stay on disk until they are used.

    Args:
        source: Path of a file, or an address that mmengine can fetch.

    Returns:
        What the file holds.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be fetched.
        CheckpointError: If it is no checkpoint.
    """
    try:
        if '://' in str(source):
            content = CheckpointLoader.load_checkpoint(str(source), map_location='cpu')
        else:
            path = Path(source).expanduser()
            content = torch.load(
                path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f'The checkpoint {source} does not exist: give a .pth file from the work folder.'
        ) from error
    except Exception as error:  # unpickling raises whatever the bytes make it raise
        raise CheckpointError(
            f'{source} is no checkpoint that torch can read with weights_only=True '
            f'({type(error).__name__}): give a .pth file that the training wrote.'
        ) from error
    if not (isinstance(content, dict) and isinstance(content.get('state_dict', {}), dict)):
        raise CheckpointError(
            f'{source} is no checkpoint, it holds no dict of tensors: give a .pth file that the '
            'training wrote.'
        )
    return content


def check_fit(
    source: str | Path, checkpoint: dict[str, Any], model: nn.Module, advice: str
) -> None:
    """Refuse a checkpoint that does not give a model all its tensors, and no other ones.

    Args:
        source: Where the checkpoint comes from, for the error.
        checkpoint: From :func:`read_checkpoint`.
        model: A segmentor, which DDP or a TTA model may wrap.
        advice: What the user can do, for the error.

    Raises:
        CheckpointError: If it has other classes, another encoder, or tensors that are missing,
            left over or of another shape.
    """
    misfit = describe_misfit(checkpoint, model)
    if misfit:
        raise CheckpointError(f'{source} does not fit the config: {misfit}; {advice}.')


def describe_misfit(checkpoint: dict[str, Any], model: nn.Module) -> str:
    """Say where a checkpoint does not fit a model.

    Args:
        checkpoint: From :func:`read_checkpoint`.
        model: A segmentor, which DDP or a TTA model may wrap.

    Returns:
        Findings, of which another encoder goes before the single tensors that differ with it;
        nothing where every tensor has its place.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    given = {
        name.removeprefix('module.'): tuple(value.shape)
        for name, value in checkpoint.get('state_dict', checkpoint).items()
        if isinstance(value, Tensor)
    }
    expected = shapes_of(model.state_dict())
    findings = [_compare_classes(given, expected, checkpoint), _compare_encoders(given, expected)]
    if not findings[1]:
        findings.append(_compare_tensors(given, expected, without_classifier=bool(findings[0])))
    return '; '.join(filter(None, findings))


def _compare_classes(given: Shapes, expected: Shapes, checkpoint: dict[str, Any]) -> str:
    for name, shape in expected.items():
        if CLASSIFIER.fullmatch(name) and name in given and given[name][0] != shape[0]:
            meta = (checkpoint.get('meta') or {}).get('dataset_meta') or {}
            classes = meta.get('classes', ())
            named = f' ({", ".join(classes)})' if len(classes) == given[name][0] else ''
            return f'it has {given[name][0]} classes{named} and the config has {shape[0]}'
    return ''


def _compare_encoders(given: Shapes, expected: Shapes) -> str:
    found, wanted = _describe_encoder(given), _describe_encoder(expected)
    if not found or not wanted or found == wanted:
        return ''
    return f'its encoder has {found} and the config has one of {wanted}'


def _describe_encoder(shapes: Shapes) -> str:
    block = re.compile(re.escape(ENCODER) + r'layers\.(\d+)\.')
    blocks = {match[1] for match in map(block.match, shapes) if match}
    projection = shapes.get(ENCODER + 'patch_embed.projection.weight')
    if not blocks or projection is None:
        return ''
    channels, *_, patch_size = projection
    return f'{len(blocks)} blocks of {channels} channels on patches of {patch_size} pixels'


def _compare_tensors(given: Shapes, expected: Shapes, without_classifier: bool) -> str:
    if without_classifier:
        given, expected = (
            {name: shape for name, shape in shapes.items() if not CLASSIFIER.fullmatch(name)}
            for shapes in (given, expected)
        )
    found = misfits(given, expected)
    return f'of its tensors {found}' if found else ''
