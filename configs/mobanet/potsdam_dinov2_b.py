"""MoBaNet, DINOv2 ViT-B/14, ISPRS Potsdam RGB + DSM, the paper's recipe.

python tools/train.py configs/mobanet/potsdam_dinov2_b.py

Expects the archive's folders in data/potsdam. The paper reports OA 92.11, mF1 93.40, mIoU 87.80;
this configuration has not been trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
