"""MAResU-Net, ResNet-18, ISPRS Potsdam RGB alone, the common recipe.

python tools/train.py configs/maresunet/maresunet_potsdam.py

MoBaNet's paper reports OA 89.0, mF1 90.5, mIoU 83.9 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/maresunet.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
