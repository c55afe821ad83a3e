"""CMFNet, ISPRS Potsdam RGB + DSM, MoBaNet's recipe.

python tools/train.py configs/cmfnet/cmfnet_potsdam.py

MoBaNet's paper reports OA 91.16, mF1 92.10, mIoU 85.63 for it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/cmfnet.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
