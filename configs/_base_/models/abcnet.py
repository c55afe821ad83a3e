"""ABCNet on ResNet-18, optical image alone: 13,666,563 parameters (paper: 13.67 M).

272,512 of them belong to the two auxiliary heads, which training alone uses. The public
implementation starts from swsl_resnet18, whose weights are CC-BY-NC-4.0; torchvision's fit the same
tensors. The weights of the auxiliary losses are not published: 1, as in BiSeNet.
"""
norm_cfg = dict(type='BN', requires_grad=True)
head = dict(
    type='ABCNetHead',
    num_classes=6,
    norm_cfg=norm_cfg,
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True))
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 0),
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        size_divisor=32),
    backbone=dict(
        type='ABCNet',
        backbone=dict(
            type='ResNet',
            depth=18,
            out_indices=(1, 2, 3),
            norm_cfg=norm_cfg,
            style='pytorch',
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18')),
        context_channels=(256, 512),
        channels=128,
        norm_cfg=norm_cfg),
    decode_head=dict(head, in_index=0, in_channels=256, channels=256, scale=8),
    auxiliary_head=[
        dict(head, in_index=1, in_channels=128, channels=64, scale=8),
        dict(head, in_index=2, in_channels=128, channels=64, scale=16)
    ],
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
