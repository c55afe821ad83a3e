"""MoBaNet, DINOv2 ViT-B/14, ISPRS Vaihingen IR-R-G + DSM, the paper's recipe.

python tools/train.py configs/mobanet/vaihingen_dinov2_b.py

Expects the archive's folders in data/vaihingen. The paper reports OA 91.78, mF1 91.16, mIoU 83.97;
this configuration has not been trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
