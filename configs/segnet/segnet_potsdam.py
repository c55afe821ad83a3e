"""SegNet, ISPRS Potsdam RGB alone, MoBaNet's recipe.

python tools/train.py configs/segnet/segnet_potsdam.py

MoBaNet's paper reports OA 81.14, mF1 84.71, mIoU 73.75 for it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/segnet.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
train_dataloader = dict(dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
