"""The small MoBaNet that a study trains many times on a synthetic city, minutes a run on one core.

docs/study says how its size and its schedule were chosen. The encoder is frozen and random, so all
that is learned is learned by the paper's modules. A city for it is written by
`python tools/make_synthetic_isprs.py data/synthetic --size 512 --gsd 0.12 --train 24 --test 14`.
"""
_base_ = ['./potsdam_dinov2_b.py']
data_root = 'data/synthetic'
crop_size = (64, 64)
embed_dims = 64
iterations, warm_up, batch_size = 1600, 80, 8
aux_head = dict(
    type='FCNHead',
    in_channels=32,
    channels=32,
    num_convs=1,
    concat_input=False,
    num_classes=6,
    norm_cfg=dict(type='BN', requires_grad=True),
    align_corners=False,
    loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.01, avg_non_ignore=True))
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53, 0.3],
        std=[58.395, 57.12, 57.375, 0.1],  # stretches small heights, such as a car's
        size_divisor=8),
    backbone=dict(
        encoder=dict(
            _delete_=True,
            type='DINOv2',
            arch=dict(embed_dims=embed_dims, num_layers=4, num_heads=2, feedforward_channels=128),
            img_size=64,
            patch_size=8,
            layer_scale_init_value=0.0),
        allow_random_encoder=True,
        out_indices=(0, 1, 2, 3),
        cpia=dict(prompt_dims=48, adapter_dims=48)),
    neck=dict(in_channels=embed_dims, out_channels=32),
    decode_head=dict(
        in_channels=[32] * 4,
        channels=32,
        # cars and clutter are few of the pixels: unweighted, so short a training leaves cars out
        loss_decode=dict(
            _delete_=True,
            type='ClassWeightedCrossEntropyLoss',
            class_weight=[1.0, 1.0, 1.0, 1.0, 6.0, 3.0])),
    auxiliary_head=[dict(aux_head, in_index=4), dict(aux_head, in_index=5)],
    test_cfg=dict(crop_size=crop_size, stride=crop_size, batch_size=16))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(num_samples=batch_size * iterations, window_size=crop_size),
    dataset=dict(data_root=data_root))
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.0125, begin=0, end=warm_up, by_epoch=False),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=warm_up, end=iterations, by_epoch=False)
]
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(logger=dict(interval=100), checkpoint=dict(interval=1))
