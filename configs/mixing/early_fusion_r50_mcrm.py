"""MCRM in a stock model: DeepLabV3+ on a ResNet-50 of four channels, ISPRS Potsdam RGB + DSM.

python tools/train.py configs/mixing/early_fusion_r50_mcrm.py

The data preprocessor masks the normalised batch as in MoBaNet; everything else is MMSeg's. The
height's weights of the first convolution begin as 0, beside ImageNet's three, and the log says so.
type='TiledEncoderDecoder' tests a whole tile many times faster. Not trained on the real tiles by
us yet.
"""
_base_ = [
    '../_base_/datasets/isprs_potsdam.py', '../_base_/schedules/50e_1000it.py',
    '../_base_/default_runtime.py'
]
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 1),
        mean=[123.675, 116.28, 103.53, 0.0],
        std=[58.395, 57.12, 57.375, 1.0],
        mcrm=dict(ratio=0.25)),
    backbone=dict(
        type='ResNetV1c',
        in_channels=4,
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        dilations=(1, 1, 2, 4),
        strides=(1, 2, 1, 1),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style='pytorch',
        contract_dilation=True,
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnet50_v1c')),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=2048,
        in_index=3,
        channels=512,
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
        in_channels=1024,
        in_index=2,
        channels=256,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4, avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(384, 384)))
