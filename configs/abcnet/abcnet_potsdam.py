"""ABCNet, ResNet-18, ISPRS Potsdam RGB alone, the common recipe.

python tools/train.py configs/abcnet/abcnet_potsdam.py

MoBaNet's paper reports OA 89.70, mF1 91.19, mIoU 84.03 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/abcnet.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
