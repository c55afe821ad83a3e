"""A small MoBaNet on the synthetic city; `make demo` runs it in minutes on two CPU cores.

The encoder is frozen and random, so all that is learned here is learned by the paper's modules.
"""
_base_ = ['./potsdam_dinov2_b.py']
data_root = 'data/synthetic'
crop_size = (128, 128)
embed_dims = 128
train_tiles = ['2_10', '2_11', '2_12', '3_10', '3_11', '3_12', '4_10', '4_11']
test_tiles = ['2_13', '2_14']
aux_head = dict(
    type='FCNHead',
    in_channels=64,
    channels=64,
    num_convs=1,
    concat_input=False,
    num_classes=6,
    norm_cfg=dict(type='BN', requires_grad=True),
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.01, avg_non_ignore=True))
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53, 0.3],
        std=[58.395, 57.12, 57.375, 0.1],  # stretches small heights, such as a car's 0.08
        size_divisor=8),
    backbone=dict(
        encoder=dict(
            _delete_=True,
            type='DINOv2',
            arch=dict(embed_dims=embed_dims, num_layers=4, num_heads=2, feedforward_channels=256),
            img_size=128,
            patch_size=8,
            layer_scale_init_value=0.0),
        allow_random_encoder=True,
        out_indices=(0, 1, 2, 3),
        cpia=dict(prompt_dims=48, adapter_dims=48)),
    neck=dict(in_channels=embed_dims, out_channels=64),
    decode_head=dict(
        in_channels=[64] * 4,
        channels=64,
        # cars and clutter are 2 % of the pixels each: unweighted, so short a training leaves cars out
        loss_decode=dict(
            _delete_=True,
            type='ClassWeightedCrossEntropyLoss',
            class_weight=[1.0, 1.0, 1.0, 1.0, 6.0, 3.0])),
    auxiliary_head=[dict(aux_head, in_index=4), dict(aux_head, in_index=5)],
    test_cfg=dict(crop_size=crop_size, stride=(96, 96), batch_size=4))
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(num_samples=4 * 400, window_size=crop_size),
    dataset=dict(data_root=data_root, tiles=train_tiles))
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, tiles=test_tiles))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, begin=0, end=20, by_epoch=False),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=20, end=400, by_epoch=False)
]
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=40), checkpoint=dict(interval=1))
