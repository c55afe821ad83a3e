"""MANet, SAM's ViT-B/16 with MMAdapter, ISPRS Vaihingen IR-R-G + DSM, its authors' recipe.

python tools/train.py configs/manet/manet_vaihingen_published.py

SGD, 50 epochs, and a split of its own: its results compare with those of no other split.
The public implementation builds SAM's ViT-L with MMLoRA; this is the network of the common recipe.
Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/manet.py', '../_base_/datasets/isprs_vaihingen_ssrs.py',
    '../_base_/schedules/ssrs.py', '../_base_/default_runtime.py'
]
model = dict(test_cfg=dict(stride=(32, 32)))
