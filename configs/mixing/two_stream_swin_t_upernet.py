"""Two Swin-T fused by DGFM under UPerNet, with MCRM and the hard-pixel losses, ISPRS Potsdam.

python tools/train.py configs/mixing/two_stream_swin_t_upernet.py

All that MoBaNet adds to a frozen ViT but CPIA, around a stock backbone that is trained: DGFM
fuses the pyramids, and the segmentor MoBaNet lets each stream's head learn where the fused
prediction is wrong. Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/datasets/isprs_potsdam.py', '../_base_/schedules/50e_1000it.py',
    '../_base_/default_runtime.py'
]
norm_cfg = dict(type='BN', requires_grad=True)
swin_t = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/swin_tiny_patch4_window7_224_20220317-1cdeb081.pth'
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
    loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.01, avg_non_ignore=True))
model = dict(
    type='MoBaNet',
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
            type='SwinTransformer',
            embed_dims=96,
            depths=[2, 2, 6, 2],
            num_heads=[3, 6, 12, 24],
            window_size=7,
            drop_path_rate=0.3,
            out_indices=(0, 1, 2, 3),
            init_cfg=dict(type='Pretrained', checkpoint=swin_t))),
    neck=dict(type='DGFMNeck', in_channels=[96, 192, 384, 768], out_channels=256),
    decode_head=dict(
        type='UPerHead',
        in_channels=[256] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=256,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    auxiliary_head=[dict(aux_head, in_index=4), dict(aux_head, in_index=5)],  # rgb, aux
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
optim_wrapper = dict(optimizer=dict(lr=6e-5))  # Swin's, for a backbone that is trained
