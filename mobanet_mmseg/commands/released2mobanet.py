"""Convert the authors' checkpoint."""

import argparse
import re
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

from mobanet_mmseg.datasets.wrappers import build_parts
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.weights.checkpoints import mismatches, shapes_of
from mobanet_mmseg.weights.files import CheckpointError, read_file
from mobanet_mmseg.weights.names import UNUSED, to_mmpretrain_names
from mobanet_mmseg.writing import check_outputs, whole_file

ENCODER = 'image_encoder.backbone.'  # Meta's names follow

# Names in the authors' file, and what ours calls the same tensors; in this order.
AUTHORS_TO_OURS = (
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


@ending_in_one_sentence()
def convert_released(args: argparse.Namespace) -> None:
    """Convert the authors' checkpoint.

    Args:
        args: What tools/model_converters/released2mobanet.py was told.
    """
    count = _convert(args)
    print(f'{args.target}: {count} tensors, for {args.config}')


def _convert(args: argparse.Namespace) -> int:
    """Write the checkpoint; returns how many tensors it has."""
    check_outputs([args.target], [args.source, args.config])
    expected, metainfo = _read_config(args.config)
    tensors = _read_tensors(args.source)
    _check_fit(tensors, expected, len(metainfo['classes']), args)
    state_dict = {name: tensors[name] for name in expected}
    with whole_file(args.target, RuntimeError) as part:  # torch's, of a full disk
        torch.save({'meta': {'dataset_meta': metainfo}, 'state_dict': state_dict}, part)
    return len(state_dict)


def _read_tensors(source: Path) -> dict[str, Tensor]:
    """Read the authors' checkpoint; its tensors have our names."""
    content = read_file(source, 'checkpoint', 'give the .pth file that the authors released')
    state_dict = content.get('state_dict', content)
    if not any(name.startswith(ENCODER) for name in state_dict):
        raise CheckpointError(
            f'{source} is no checkpoint of MoBaNet with DINOv2 as its authors released it: none of '
            f'its names begins with {ENCODER!r}, they are like {", ".join(list(state_dict)[:3])}; '
            'give the .pth file that the authors released.'
        )
    return _to_our_names(state_dict)


def _to_our_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the authors' tensors to ours; names that are not known stay."""
    encoder = {
        name.removeprefix(ENCODER): value
        for name, value in tensors.items()
        if name.startswith(ENCODER)
    }
    renamed = {
        f'backbone.encoder.vit.{name}': value
        for name, value in to_mmpretrain_names(encoder).items()
        if not UNUSED.match(name)
    }
    for name, value in tensors.items():
        if name.startswith(ENCODER):
            continue
        for pattern, replacement in AUTHORS_TO_OURS:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


def _read_config(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read the shapes of a config's model, and its classes and palette."""
    advice = 'give configs/mobanet/potsdam_dinov2_b_released.py or one based on it'
    if not Path(path).is_file():
        raise FileNotFoundError(f'The file {path} does not exist: {advice}.')
    config = Config.fromfile(path)
    if 'model' not in config or 'test_dataloader' not in config:
        raise ValueError(
            f'{path} has no model or no test_dataloader, so it is no config to test with: {advice}.'
        )
    init_default_scope(config.get('default_scope', 'mmseg'))
    _, dataset = next(build_parts(config.test_dataloader.dataset))
    with torch.device('meta'):  # shapes are enough
        expected = MODELS.build(config.model).state_dict()
    return expected, dict(dataset.metainfo)


def _check_fit(
    tensors: dict[str, Tensor],
    expected: dict[str, Tensor],
    num_classes: int,
    args: argparse.Namespace,
) -> None:
    """Refuse tensors that are not one by one those of the config's model."""
    classifier = tensors.get('decode_head.conv_seg.weight')
    if classifier is not None and len(classifier) != num_classes:
        raise CheckpointError(
            f'{args.source} was trained with {len(classifier)} classes, but {args.config} has '
            f'{num_classes} in its test dataset: give a config with {len(classifier)} in '
            'num_classes of each head and in metainfo of the datasets.'
        )
    found = mismatches(shapes_of(tensors), shapes_of(expected))
    if found:
        raise CheckpointError(
            f'{args.source} does not fit the model of {args.config} ({found}): give the config of '
            'the network that it was trained with.'
        )
