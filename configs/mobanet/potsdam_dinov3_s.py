"""MoBaNet, DINOv3 ViT-S/16, ISPRS Potsdam RGB + DSM, the paper's recipe.

python tools/train.py configs/mobanet/potsdam_dinov3_s.py

Expects the archive's folders in data/potsdam and the weights, under the DINOv3 License, in
checkpoints. The paper has no such model; this configuration has not been trained on the real tiles
by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov3_s.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
