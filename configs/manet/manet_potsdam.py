"""MANet, SAM's ViT-B/16 with MMAdapter, ISPRS Potsdam RGB + DSM, the common recipe.

python tools/train.py configs/manet/manet_potsdam.py

MoBaNet's paper reports OA 90.50, mF1 91.82, mIoU 85.08 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/manet.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
