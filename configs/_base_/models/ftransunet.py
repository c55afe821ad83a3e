"""FTransUNet, two hybrids of ResNet-50 and ViT-B/16, optical image and DSM: 203,403,558 parameters.

The paper's 203.40 M. Both streams start from the weights that Google trained on ImageNet-21k.
"""
norm_cfg = dict(type='BN', requires_grad=True)
r50_vit_b = 'https://storage.googleapis.com/vit_models/imagenet21k/R50%2BViT-B_16.npz'
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 1),
        mean=[0.0, 0.0, 0.0, 0.0],  # both images are 0..1, and not normalised
        std=[255.0, 255.0, 255.0, 1.0],
        size_divisor=16),
    backbone=dict(
        type='FTransUNet',
        modality_channels=(3, 1),
        img_size=256,
        mutual_layers=(3, 8),
        drop_rate=0.1,
        init_cfg=dict(type='Pretrained', checkpoint=r50_vit_b)),
    decode_head=dict(
        type='FTransUNetHead',
        in_channels=[64, 256, 512, 768],
        in_index=[0, 1, 2, 3],
        channels=16,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
