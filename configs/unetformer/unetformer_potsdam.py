"""UNetFormer, ResNet-18, ISPRS Potsdam RGB alone, the common recipe.

python tools/train.py configs/unetformer/unetformer_potsdam.py

MoBaNet's paper reports OA 90.28, mF1 91.78, mIoU 85.03 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/unetformer.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
