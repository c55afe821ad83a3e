"""SegNet on the optical image, VGG16: 29,446,470 parameters.

Conv-ReLU-BN, as the networks for aerial images that descend from DeepNetsForEO have it; the
weights of VGG16 are of Conv-BN-ReLU.
"""
norm_cfg = dict(type='BN', requires_grad=True)
order = ('conv', 'act', 'norm')
vgg16_bn = 'https://download.pytorch.org/models/vgg16_bn-6c64b313.pth'  # torchvision://vgg16_bn
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 0),
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        size_divisor=32),
    backbone=dict(
        type='SegNet',
        order=order,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', checkpoint=vgg16_bn)),
    decode_head=dict(
        type='SegNetHead',
        in_channels=[64, 128, 256, 512, 512],
        in_index=[0, 1, 2, 3, 4],
        channels=64,
        order=order,
        dropout_ratio=0.0,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
