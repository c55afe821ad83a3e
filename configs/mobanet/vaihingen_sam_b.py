"""MoBaNet, SAM's ViT-B/16, ISPRS Vaihingen IR-R-G + DSM, the paper's recipe.

python tools/train.py configs/mobanet/vaihingen_sam_b.py

Expects the archive's folders in data/vaihingen. The paper reports OA 91.65, mF1 90.97, mIoU 83.66;
this configuration has not been trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_sam_b.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
