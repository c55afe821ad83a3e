"""PSPNet on ResNet-101, ISPRS Potsdam, RGB alone.

python tools/train.py configs/pspnet/pspnet_potsdam.py
"""
_base_ = [
    '../_base_/models/pspnet_r101.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
