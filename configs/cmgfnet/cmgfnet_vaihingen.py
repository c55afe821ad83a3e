"""CMGFNet, two ResNet-34, ISPRS Vaihingen IR-R-G + DSM, the common recipe.

python tools/train.py configs/cmgfnet/cmgfnet_vaihingen.py

MoBaNet's paper reports OA 90.98, mF1 89.67, mIoU 81.60 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/cmgfnet.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
