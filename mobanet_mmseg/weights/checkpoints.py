"""Says in words where a file of tensors does not fit a model."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from mobanet_mmseg.weights.files import CheckpointError, read_file
from mobanet_mmseg.weights.fingerprints import FINGERPRINT, left_out, words_of

Shapes = dict[str, tuple[int, ...]]

ENCODER = 'backbone.encoder.vit.'
CLASSIFIER = re.compile(r'(decode|auxiliary)_head\.(.+\.)?conv_seg\.(weight|bias)')


def read_checkpoint(source: str | Path) -> dict[str, Any]:
    """Read a checkpoint of a training.

    Args:
        source: See :func:`read_file`.

    Returns:
        What the file holds.

    Raises:
        FileNotFoundError: If the file does not exist or cannot be fetched.
        CheckpointError: If it is no checkpoint.
    """
    statistics = dict(HistoryBuffer._statistics_methods)  # a pickled history replaces them for all
    try:
        return read_file(source, 'checkpoint', 'give a .pth file that the training wrote')
    finally:
        HistoryBuffer._statistics_methods.clear()
        HistoryBuffer._statistics_methods.update(statistics)


def check_fit(
    source: str | Path, checkpoint: dict[str, Any], model: nn.Module, advice: str
) -> None:
    """Refuse a checkpoint that does not give a model all its tensors, finite, and no other ones.

    Args:
        source: Where the checkpoint comes from, for the error.
        checkpoint: From :func:`read_checkpoint`.
        model: A segmentor, not wrapped.
        advice: What the user can do, for the error.

    Raises:
        CheckpointError: If it has other classes, another encoder, or tensors that are missing,
            left over, of another shape or not finite.
    """
    mismatch = describe_mismatch(checkpoint, model)
    if mismatch:
        raise CheckpointError(f'{source} does not fit the config: {mismatch}; {advice}.')
    tensors = checkpoint.get('state_dict', checkpoint)
    meant = not_finite(model.state_dict())  # such as masks of attention
    spoilt = [name for name in not_finite(tensors) if name.removeprefix('module.') not in meant]
    if spoilt:
        raise CheckpointError(
            f'{source} holds numbers that are not finite (NaN or infinite) in {len(spoilt)} of its '
            f'{len(tensors)} tensors: {", ".join(spoilt[:5])}{" ..." if len(spoilt) > 5 else ""}; '
            'the training that wrote it went wrong: give a checkpoint of before.'
        )


def not_finite(tensors: dict[str, Any]) -> list[str]:
    """Name the tensors that hold NaN or infinite numbers.

    Args:
        tensors: By name; what is no tensor is left out.
    """
    return [
        name
        for name, value in tensors.items()
        if isinstance(value, Tensor) and value.is_floating_point() and not value.isfinite().all()
    ]


def describe_mismatch(checkpoint: dict[str, Any], model: nn.Module) -> str:
    """Say where a checkpoint does not fit a model.

    Args:
        checkpoint: From :func:`read_checkpoint`.
        model: A segmentor, not wrapped.

    Returns:
        Findings, of which another encoder goes before the single tensors that differ with it;
        nothing where every tensor fits.
    """
    given = {
        name.removeprefix('module.'): tuple(value.shape)
        for name, value in checkpoint.get('state_dict', checkpoint).items()
        if isinstance(value, Tensor)
    }
    own = model.state_dict()
    expected = shapes_of(own)
    encoders = _compare_left_out(given, own, checkpoint) or _compare_encoders(given, expected)
    given = _with_encoders(given, expected)
    findings = [_compare_classes(given, expected, checkpoint), encoders]
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


def _compare_left_out(given: Shapes, own: dict[str, Tensor], checkpoint: dict[str, Any]) -> str:
    """Compare encoders that a file leaves out, by its words alone: values are compared on loading.

    Args:
        given: Shapes of what the file holds.
        own: State dict of the model.
        checkpoint: What the file holds.
    """
    for prefix in left_out(given):
        wanted = architecture_of(own, f'{prefix}vit.')
        words = words_of(checkpoint.get('meta'), prefix)
        found = words.get('architecture', wanted)
        if wanted and found != wanted:
            return f'its encoder is {found} and the config has {wanted}'
    return ''


def _with_encoders(given: Shapes, expected: Shapes) -> Shapes:
    """Put tensors in the place of the fingerprints of encoders that the model has."""
    given = dict(given)
    for prefix in left_out(given):
        encoder = {n: shape for n, shape in expected.items() if n.startswith(f'{prefix}vit.')}
        if encoder:
            del given[prefix + FINGERPRINT]
            given = {**encoder, **given}
    return given


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
    found = mismatches(given, expected)
    return f'of its tensors {found}' if found else ''


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
            kind = 'DINOv2' if 'pos_embed' in tensors else 'DINOv3'
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


def architecture_of(tensors: dict[str, Tensor], prefix: str = '') -> str:
    """Say in words what kind of encoder tensors are of.

    Args:
        tensors: By mmpretrain's names after the prefix; others may be among them.
        prefix: What the encoder's names begin with.

    Returns:
        See :class:`Architecture`; nothing for an encoder of other names.
    """
    encoder = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    return str(Architecture.of(encoder)) if 'patch_embed.projection.weight' in encoder else ''


def shapes_of(tensors: dict[str, Tensor]) -> Shapes:
    """Shape of each tensor."""
    return {name: tuple(value.shape) for name, value in tensors.items()}


def mismatches(given: Shapes, expected: Shapes) -> str:
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
