"""MoBaNet, SAM's ViT-B/16, ISPRS Potsdam RGB + DSM, the paper's recipe.

python tools/train.py configs/mobanet/potsdam_sam_b.py

Expects the archive's folders in data/potsdam. The paper reports OA 91.27, mF1 92.58, mIoU 86.38;
this configuration has not been trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_sam_b.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
