"""MoBaNet, DINOv2 ViT-B/14, DroneDeploy's R G B + height, 6 classes.

python tools/train.py configs/mobanet/dronedeploy_dinov2_b.py

Expects the converted tiles in data/dronedeploy (docs/open_data.md). The paper has no such model;
this configuration has not been trained on the real scenes by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/dronedeploy.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
num_classes = _base_.num_classes
model = dict(
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=[
        dict(_base_.aux_head, num_classes=num_classes, in_index=in_index) for in_index in (4, 5)
    ])
