"""CMGFNet on two ResNet-34, optical image and DSM: 42,658,566 parameters.

The paper's 43.68 M are 43,684,566: with both encoders' ImageNet classifiers, which nothing uses.
"""
norm_cfg = dict(type='BN', requires_grad=True)
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 1),
        mean=[123.675, 116.28, 103.53, 0.0],  # ImageNet's for RGB; the DSM is 0..1 already
        std=[58.395, 57.12, 57.375, 1.0],
        size_divisor=64),
    backbone=dict(
        type='TwoStream',
        modality_channels=(3, 1),
        backbone=dict(
            type='SixLevelResNet',
            depth=34,
            norm_cfg=norm_cfg,
            style='pytorch',
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet34')),
        aux=dict(in_channels=1)),
    decode_head=dict(
        type='CMGFNetHead',
        in_channels=[64, 64, 128, 256, 512, 512],
        in_index=[0, 1, 2, 3, 4, 5],
        channels=16,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
