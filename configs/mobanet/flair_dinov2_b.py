"""MoBaNet, DINOv2 ViT-B/14, FLAIR's R G B + height above ground, 13 classes.

python tools/train.py configs/mobanet/flair_dinov2_b.py

Expects the domains' folders in data/flair (docs/open_data.md). The paper has no such model; this
configuration has not been trained on the real patches by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/flair.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
num_classes = _base_.num_classes
model = dict(
    # of the fifth band IGN publishes mean 53.26 and deviation 79.3, of 255
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53, 0.209], std=[58.395, 57.12, 57.375, 0.311]),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=[
        dict(_base_.aux_head, num_classes=num_classes, in_index=in_index) for in_index in (4, 5)
    ])
