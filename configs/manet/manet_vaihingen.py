"""MANet, SAM's ViT-B/16 with MMAdapter, ISPRS Vaihingen IR-R-G + DSM, the common recipe.

python tools/train.py configs/manet/manet_vaihingen.py

MoBaNet's paper reports OA 91.35, mF1 90.33, mIoU 82.60 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/manet.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
