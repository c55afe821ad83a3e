"""MAResU-Net, ResNet-18, ISPRS Vaihingen IR-R-G alone, the common recipe.

python tools/train.py configs/maresunet/maresunet_vaihingen.py

MoBaNet's paper reports OA 90.05, mF1 87.68, mIoU 80.75 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/maresunet.py', '../_base_/datasets/isprs_vaihingen_irrg.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
