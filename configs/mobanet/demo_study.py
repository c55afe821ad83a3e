"""The small MoBaNet that a study trains many times on a synthetic city, minutes a run on one core.

docs/study says how its size and its schedule were chosen. The encoder is frozen and random, so all
that is learned is learned by the paper's modules. A city for it is written by
`python tools/make_synthetic_isprs.py data/synthetic --size 512 --gsd 0.12 --train 24 --test 14`.
"""
_base_ = ['./demo.py']
crop_size = (64, 64)
embed_dims = 64
train_tiles, test_tiles = 'train', 'test'  # all that the city has
iterations, warm_up, batch_size = 1600, 80, 8
aux_head = dict(_base_.aux_head, in_channels=32, channels=32)
model = dict(
    backbone=dict(
        encoder=dict(
            arch=dict(embed_dims=embed_dims, feedforward_channels=128), img_size=64)),
    neck=dict(in_channels=embed_dims, out_channels=32),
    decode_head=dict(in_channels=[32] * 4, channels=32),
    auxiliary_head=[dict(aux_head, in_index=4), dict(aux_head, in_index=5)],
    test_cfg=dict(crop_size=crop_size, stride=crop_size, batch_size=16))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(num_samples=batch_size * iterations, window_size=crop_size),
    dataset=dict(tiles=train_tiles))
val_dataloader = dict(dataset=dict(tiles=test_tiles))
test_dataloader = val_dataloader
param_scheduler = [
    dict(type='LinearLR', start_factor=0.0125, begin=0, end=warm_up, by_epoch=False),
    dict(type='CosineAnnealingLR', eta_min=1e-5, begin=warm_up, end=iterations, by_epoch=False)
]
default_hooks = dict(logger=dict(interval=100))
