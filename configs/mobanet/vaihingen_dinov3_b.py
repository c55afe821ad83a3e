"""MoBaNet, DINOv3 ViT-B/16, ISPRS Vaihingen IR-R-G + DSM, the paper's recipe.

python tools/train.py configs/mobanet/vaihingen_dinov3_b.py

Expects the archive's folders in data/vaihingen and the weights, under the DINOv3 License, in
checkpoints. The paper has no such model; this configuration has not been trained on the real tiles
by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov3_b.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
