from mobanet_mmseg.models import compared
from mobanet_mmseg.models.authors import ReleasedFCNHead, ReleasedUPerHead
from mobanet_mmseg.models.cpia import CPIA
from mobanet_mmseg.models.data_preprocessor import MultimodalDataPreProcessor
from mobanet_mmseg.models.dgfm import DGFM, DGFMNeck
from mobanet_mmseg.models.dinov2 import DINOv2
from mobanet_mmseg.models.dinov3 import DINOv3
from mobanet_mmseg.models.lora import LoRA
from mobanet_mmseg.models.losses import (
    ClassWeightedCrossEntropyLoss,
    LabelSmoothingCrossEntropyLoss,
    SoftDiceLoss,
)
from mobanet_mmseg.models.mcrm import MCRM, MCRMTransform, ModalityRandomMask
from mobanet_mmseg.models.mobanet import MoBaNet
from mobanet_mmseg.models.multimodal_vit import MultimodalViT
from mobanet_mmseg.models.sam import SAM
from mobanet_mmseg.models.tiled import SymmetryTTAModel, TiledEncoderDecoder
from mobanet_mmseg.models.two_stream import TwoStream

__all__ = [
    'CPIA',
    'DGFM',
    'MCRM',
    'SAM',
    'ClassWeightedCrossEntropyLoss',
    'DGFMNeck',
    'DINOv2',
    'DINOv3',
    'LabelSmoothingCrossEntropyLoss',
    'LoRA',
    'MCRMTransform',
    'MoBaNet',
    'ModalityRandomMask',
    'MultimodalDataPreProcessor',
    'MultimodalViT',
    'ReleasedFCNHead',
    'ReleasedUPerHead',
    'SoftDiceLoss',
    'SymmetryTTAModel',
    'TiledEncoderDecoder',
    'TwoStream',
    'compared',
]
