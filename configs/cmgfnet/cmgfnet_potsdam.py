"""CMGFNet, two ResNet-34, ISPRS Potsdam RGB + DSM, the common recipe.

python tools/train.py configs/cmgfnet/cmgfnet_potsdam.py

MoBaNet's paper reports OA 90.59, mF1 91.86, mIoU 85.18 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/cmgfnet.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
