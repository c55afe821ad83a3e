"""SegNet, ISPRS Vaihingen IR-R-G alone, MoBaNet's recipe.

python tools/train.py configs/segnet/segnet_vaihingen.py

MoBaNet's paper reports OA 81.55, mF1 82.27, mIoU 70.55 for it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/segnet.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
train_dataloader = dict(dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
