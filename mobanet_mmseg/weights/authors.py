"""Turns a checkpoint of MoBaNet as its authors released it into one of ours."""

import os
import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from torch import Tensor

from mobanet_mmseg.weights.files import UNUSED_TENSORS, misfits, read_state_dict, shapes_of
from mobanet_mmseg.weights.names import to_mmpretrain_names

RELEASED_ENCODER = 'image_encoder.backbone.'  # Meta's names follow
ENCODER = 'backbone.encoder.vit.'

# Names of the released network, and what ours calls the same tensors; in this order.
RELEASED_TO_OURS = (
    (r'^image_encoder\.extra_patch_embed\.proj\.', 'backbone.aux_embed.projection.'),
    (r'^image_encoder\.peft_cpia_blocks\.', 'backbone.cpia.'),
    (r'\.tfts_(gamma|beta)_rgb$', r'.tft_rgb.\1'),
    (r'\.tfts_(gamma|beta)_dsm$', r'.tft_aux.\1'),
    (r'\.D_fc1\.', '.reduce_rgb.'),
    (r'\.D_fc2\.', '.reduce_aux.'),
    (r'\.P_fc2\.', '.fuse.'),
    (r'\.U_fc1\.', '.expand.'),
    (r'^image_encoder\.peft_dgfm_blocks\.', 'neck.fusions.'),
    (r'\.rgb_reduce\.', '.reduce_rgb.'),
    (r'\.dsm_reduce\.', '.reduce_aux.'),
    (r'\.gate_net\.', '.gate.'),
    (r'^image_encoder\.peft_fuse_norms\.', 'neck.norms.'),
    (r'^image_encoder\.dual_proj_layers\.', 'neck.projections.'),
    (r'^decoder\.ppm\.stages\.', 'decode_head.psp_modules.'),
    (r'^decoder\.ppm\.bottleneck\.', 'decode_head.bottleneck.'),
    (r'^decoder\.classifier\.1\.0\.', 'decode_head.conv_seg.'),
    (r'^decoder\.', 'decode_head.'),
    (r'^aux_head_rgb\.', 'auxiliary_head.0.'),
    (r'^aux_head_dsm\.', 'auxiliary_head.1.'),
    (r'^(auxiliary_head\.\d)\.conv\.', r'\1.convs.0.'),
    (r'^(auxiliary_head\.\d)\.conv_out\.0\.', r'\1.conv_seg.'),
    # the heads' convolutions and their batch norms are numbered there and named in ConvModule
    (r'^(decode_head|auxiliary_head)\.(.+)\.0\.(weight)$', r'\1.\2.conv.\3'),
    (
        r'^(decode_head|auxiliary_head)\.(.+)\.1\.(weight|bias|running_\w+|num_batches_tracked)$',
        r'\1.\2.bn.\3',
    ),
)


def to_our_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of the released network to ours; names that it does not know stay.

    Args:
        tensors: By the released names.

    Returns:
        The same tensors by our names, without those of no use here (DINOv2's mask token).
    """
    encoder = {
        name.removeprefix(RELEASED_ENCODER): value
        for name, value in tensors.items()
        if name.startswith(RELEASED_ENCODER)
    }
    renamed = {
        ENCODER + name: value
        for name, value in to_mmpretrain_names(encoder).items()
        if not UNUSED_TENSORS.match(name)
    }
    for name, value in tensors.items():
        if name.startswith(RELEASED_ENCODER):
            continue
        for pattern, replacement in RELEASED_TO_OURS:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def convert_released(source: str | Path, target: str | Path, config: str | Path) -> int:
    """Write a checkpoint of the released network as one that MMSegmentation loads.

    The tensors are written as they are under the names of the config's model, with the classes
    and the palette of its test dataset, beside ``target``, which they replace once complete.

    Args:
        source: Checkpoint of the released network.
        target: Where to write; missing parent folders are made.
        config: Config of the same network, ``potsdam_dinov2_b_released.py`` or one based on it.

    Returns:
        How many tensors were written.

    Raises:
        FileNotFoundError: If ``source`` or ``config`` is missing.
        OSError: If ``target`` cannot be written.
        ValueError: If ``source`` is no checkpoint of this network, ``config`` has no model or no
            test dataset, or ``target`` is the same file as ``source``.
    """
    source, target = Path(source), Path(target)
    if target.resolve() == source.resolve():
        raise ValueError(f'{target} is the input and would be overwritten: give another name.')
    _check_there(source, 'give the .pth file that the authors released')
    _check_there(config, 'give configs/mobanet/potsdam_dinov2_b_released.py or one based on it')
    tensors = _read_released(source)
    settings = Config.fromfile(config)
    if 'model' not in settings or 'test_dataloader' not in settings:
        raise ValueError(
            f'{config} has no model or no test_dataloader, so it is no config to test with: give '
            'configs/mobanet/potsdam_dinov2_b_released.py or one based on it.'
        )
    init_default_scope(settings.get('default_scope', 'mmseg'))
    dataset = {**settings.test_dataloader.dataset, 'pipeline': [], 'lazy_init': True}
    metainfo = dict(DATASETS.build(dataset).metainfo)
    with torch.device('meta'):  # shapes are enough
        expected = MODELS.build(settings.model).state_dict()
    _check_classes(tensors, len(metainfo['classes']), source, config)
    _check_fit(tensors, expected, source, config)
    state_dict = {name: tensors[name] for name in expected}
    _write({'meta': {'dataset_meta': metainfo}, 'state_dict': state_dict}, target)
    return len(expected)


def _check_there(path: str | Path, advice: str) -> None:
    if not Path(path).is_file():
        raise FileNotFoundError(f'The file {path} does not exist: {advice}.')


def _read_released(source: Path) -> dict[str, Tensor]:
    """Read a checkpoint of the released network; its tensors have our names."""
    tensors = read_state_dict(str(source))
    if not any(name.startswith(RELEASED_ENCODER) for name in tensors):
        raise ValueError(
            f'{source} is no checkpoint of MoBaNet with DINOv2 as its authors released it: none of '
            f'its names begins with {RELEASED_ENCODER!r}, they are like '
            f'{", ".join(list(tensors)[:3])}; give the .pth file that the authors released.'
        )
    return to_our_names(tensors)


def _check_classes(
    tensors: dict[str, Tensor], num_classes: int, source: Path, config: str | Path
) -> None:
    classifier = tensors.get('decode_head.conv_seg.weight')
    if classifier is not None and len(classifier) != num_classes:
        raise ValueError(
            f'{source} was trained with {len(classifier)} classes, but {config} has {num_classes} '
            f'in its test dataset: give a config with {len(classifier)} in num_classes of each '
            'head and in metainfo of the datasets.'
        )


def _check_fit(
    tensors: dict[str, Tensor], expected: dict[str, Tensor], source: Path, config: str | Path
) -> None:
    """Refuse tensors that are not one by one those of a model."""
    found = misfits(shapes_of(tensors), shapes_of(expected))
    if found:
        raise ValueError(
            f'{source} does not fit the model of {config} ({found}): give the config of the '
            'network that it was trained with.'
        )


def _write(content: dict, target: Path) -> None:
    """Write a checkpoint beside its place and rename it."""
    part = target.with_name(f'.{target.name}.{os.getpid()}.part')
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.save(content, part)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into the latter
        raise OSError(
            f'{target} could not be written ({error}): check the free space and the permissions '
            'there, or choose another place.'
        ) from error
