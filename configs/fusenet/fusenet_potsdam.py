"""FuseNet, ISPRS Potsdam RGB + DSM, MoBaNet's recipe.

python tools/train.py configs/fusenet/fusenet_potsdam.py

MoBaNet's paper reports OA 90.58, mF1 91.60, mIoU 84.86 for it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/fusenet.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
