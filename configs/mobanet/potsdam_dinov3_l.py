"""MoBaNet, DINOv3 ViT-L/16, ISPRS Potsdam RGB + DSM, the paper's recipe.

python tools/train.py configs/mobanet/potsdam_dinov3_l.py

Expects the archive's folders in data/potsdam and the weights, under the DINOv3 License, in
checkpoints. The paper has no such model; this configuration has not been trained on the real tiles
by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov3_l.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
# the paper's batch for ViT-L; an epoch stays at 1000 iterations
train_dataloader = dict(batch_size=6, sampler=dict(num_samples=6000))
