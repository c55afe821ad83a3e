"""MANet on SAM's frozen ViT-B/16 with MMAdapter, optical image and DSM: 16,360,118 trained parameters.

106,031,030 in all. The paper's 20.42 M are 20,424,678: with SAM's prompt encoder and mask decoder
(4,064,560), which the public implementation leaves trainable and never uses.
"""
norm_cfg = dict(type='BN', requires_grad=True)
sam_b = 'https://download.openmmlab.com/mmclassification/v1/vit_sam/vit-base-p16_sam-pre_3rdparty_sa1b-1024px_20230411-2320f9cc.pth'
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 1),
        mean=[0.0, 0.0, 0.0, 0.0],  # both images are 0..1, and not normalised
        std=[255.0, 255.0, 255.0, 1.0],
        size_divisor=32),
    backbone=dict(
        type='MANet',
        encoder=dict(
            type='SAM',
            arch='base',
            neck_channels=256,
            init_cfg=dict(type='Pretrained', checkpoint=sam_b)),
        modality_channels=(3, 1),
        tuning='adapter',
        norm_cfg=norm_cfg),
    decode_head=dict(
        type='UNetFormerHead',
        in_channels=[256] * 4,
        in_index=[0, 1, 2, 3],
        channels=64,
        num_heads=8,
        window_size=8,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
