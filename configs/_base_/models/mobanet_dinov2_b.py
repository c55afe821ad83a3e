# MoBaNet on a frozen DINOv2 ViT-B/14: 6,182,530 trainable parameters (paper: 6.18 M).
norm_cfg = dict(type='BN', requires_grad=True)
dinov2_b = 'https://download.openmmlab.com/mmpretrain/v1.0/dinov2/vit-base-p14_dinov2-pre_3rdparty_20230426-ba246503.pth'
aux_head = dict(
    type='FCNHead',
    in_channels=256,
    channels=256,
    num_convs=1,
    concat_input=False,
    dropout_ratio=0.1,
    num_classes=6,
    norm_cfg=norm_cfg,
    align_corners=False,
    # lambda of Eq. 28; the mean is over the hard pixels, Eq. 27
    loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.01, avg_non_ignore=True))
model = dict(
    type='MoBaNet',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor',
        modality_channels=(3, 1),
        mean=[123.675, 116.28, 103.53, 0.0],  # ImageNet's for RGB; the DSM is 0..1 already
        std=[58.395, 57.12, 57.375, 1.0],
        size_divisor=14,
        mcrm=dict(ratio=0.25, area_ratio=(0.1, 0.3), aspect_ratio=(0.5, 2.0))),
    backbone=dict(
        type='MultimodalViT',
        encoder=dict(
            type='DINOv2',
            arch='base',
            init_cfg=dict(type='Pretrained', checkpoint=dinov2_b)),
        modality_channels=(3, 1),
        out_indices=(2, 5, 8, 11),
        cpia=dict(prompt_dims=116, adapter_dims=48)),  # Table IV's 2.08 M
    neck=dict(type='DGFMNeck', in_channels=768, out_channels=256),
    decode_head=dict(
        type='UPerHead',
        in_channels=[256] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=64,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', loss_weight=1.0, avg_non_ignore=True)),
    auxiliary_head=[dict(aux_head, in_index=4), dict(aux_head, in_index=5)],  # rgb, aux
    train_cfg=dict(),
    # the paper's protocol: windows of 256, logits summed; the released code steps 32 pixels
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
