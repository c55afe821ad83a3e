"""UNetFormer, ResNet-18, ISPRS Vaihingen IR-R-G alone, the common recipe.

python tools/train.py configs/unetformer/unetformer_vaihingen.py

MoBaNet's paper reports OA 90.76, mF1 90.14, mIoU 82.44 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/unetformer.py', '../_base_/datasets/isprs_vaihingen_irrg.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
