"""Builds the encoder that runs a kind of ViT."""

from copy import deepcopy

import mmpretrain.models
from mmseg.registry import MODELS
from torch import nn

from mobanet_mmseg.models.dinov2 import DINOv2
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.sam import SAM

ENCODERS: dict[type[nn.Module], type[Encoder]] = {
    mmpretrain.models.VisionTransformer: DINOv2,
    mmpretrain.models.ViTSAM: SAM,
}


def build_encoder(config: dict) -> Encoder:
    """Build an encoder from the config of an mmpretrain ViT.

    Args:
        config: ``type='mmpretrain.VisionTransformer'`` or ``'mmpretrain.ViTSAM'`` and its
            arguments; ``num_registers`` for DINOv2 with registers; ``init_cfg`` names the weights,
            which are placed strictly.

    Returns:
        The encoder that runs this kind of ViT.

    Raises:
        ValueError: If no encoder runs this kind of ViT, or its arguments make it another one.
    """
    config = deepcopy(config)
    pretrained = config.pop('init_cfg', None)
    if pretrained is not None and pretrained.get('type') != 'Pretrained':
        raise ValueError(
            f'encoder.init_cfg has type {pretrained.get("type")!r}; a frozen encoder takes '
            "dict(type='Pretrained', checkpoint=FILE)."
        )
    registers = {'num_registers': config.pop('num_registers')} if 'num_registers' in config else {}
    vit = MODELS.build(config)
    kind = ENCODERS.get(type(vit))
    if kind is None:
        raise ValueError(
            f'encoder is a {type(vit).__name__}; MultimodalViT runs '
            f'{", ".join("mmpretrain." + vit.__name__ for vit in ENCODERS)}.'
        )
    return kind(vit, pretrained, **registers)
