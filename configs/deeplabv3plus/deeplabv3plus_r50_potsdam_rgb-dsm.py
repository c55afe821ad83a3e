"""DeepLabV3+ on ResNet-50, ISPRS Potsdam, RGB and height as four channels.

python tools/train.py configs/deeplabv3plus/deeplabv3plus_r50_potsdam_rgb-dsm.py
"""
_base_ = [
    '../_base_/models/deeplabv3plus_r50.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
model = dict(data_preprocessor=_base_.optical_aux, backbone=dict(in_channels=4))
