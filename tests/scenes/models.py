"""Small models that whole networks are tried with."""

from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import SampleList
from torch import Tensor


def tiny_vit(**overrides) -> dict:
    """Config of a DINOv2 of 4 blocks and 16 channels on 5 x 5 patches of 14 pixels."""
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    config = dict(
        type='DINOv2',
        arch=arch,
        img_size=70,
        patch_size=14,
        layer_scale_init_value=0.5,
    )
    return {**config, **overrides}


def tiny_model(**overrides) -> ConfigDict:
    """Config of a whole MoBaNet of toy width, 3 classes."""
    head = dict(
        type='FCNHead',
        in_channels=8,
        channels=8,
        num_convs=1,
        concat_input=False,
        num_classes=3,
        dropout_ratio=0.0,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.01, avg_non_ignore=True),
    )
    config = dict(
        type='MoBaNet',
        data_preprocessor=dict(
            type='MultimodalDataPreProcessor',
            mean=[100.0, 100.0, 100.0, 0.0],
            std=[50.0, 50.0, 50.0, 1.0],
            size_divisor=14,
            mcrm=dict(ratio=0.5),
        ),
        backbone=dict(
            type='MultimodalViT',
            encoder=tiny_vit(),
            out_indices=(0, 1, 2, 3),
            cpia=dict(prompt_dims=4, adapter_dims=4),
            allow_random_encoder=True,
        ),
        neck=dict(type='DGFMNeck', in_channels=16, out_channels=8),
        decode_head=dict(
            type='UPerHead',
            in_channels=[8] * 4,
            in_index=[0, 1, 2, 3],
            channels=8,
            num_classes=3,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        ),
        auxiliary_head=[dict(head, in_index=4), dict(head, in_index=5)],
        train_cfg={},
        test_cfg=dict(mode='slide', crop_size=(28, 42), stride=(14, 28)),
    )
    return ConfigDict({**config, **overrides})


def samples(labels: Tensor) -> SampleList:
    """One sample per (H, W) label map."""
    shape = tuple(labels.shape[-2:])
    return [
        SegDataSample(
            metainfo=dict(img_shape=shape, ori_shape=shape, pad_shape=shape),
            gt_sem_seg=PixelData(data=label[None]),
        )
        for label in labels
    ]
