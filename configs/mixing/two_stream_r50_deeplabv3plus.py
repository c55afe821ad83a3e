"""Two ResNet-50s fused by DGFM under DeepLabV3+, with MCRM, ISPRS Potsdam RGB + DSM.

python tools/train.py configs/mixing/two_stream_r50_deeplabv3plus.py

Both streams are trained from ImageNet's weights (the DSM is repeated to three channels).
shared=True in the backbone runs both through one. Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/datasets/isprs_potsdam.py', '../_base_/schedules/50e_1000it.py',
    '../_base_/default_runtime.py'
]
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 1),
        mean=[123.675, 116.28, 103.53, 0.0],
        std=[58.395, 57.12, 57.375, 1.0],
        size_divisor=32,
        mcrm=dict(ratio=0.25)),
    backbone=dict(
        type='TwoStream',
        modality_channels=(3, 1),
        backbone=dict(
            type='ResNetV1c',
            depth=50,
            num_stages=4,
            out_indices=(0, 2, 3),  # what the heads read; DDP refuses a fusion that none does
            dilations=(1, 1, 2, 4),
            strides=(1, 2, 1, 1),
            norm_cfg=norm_cfg,
            norm_eval=False,
            style='pytorch',
            contract_dilation=True,
            init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c'))),
    neck=dict(type='DGFMNeck', in_channels=[256, 1024, 2048], out_channels=256, unimodal=False),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=256,
        in_index=2,
        channels=256,
        dilations=(1, 12, 24, 36),
        c1_in_channels=256,
        c1_channels=48,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=256,
        in_index=1,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4, avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
