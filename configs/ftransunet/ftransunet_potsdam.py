"""FTransUNet, two hybrids of ResNet-50 and ViT-B/16, ISPRS Potsdam RGB + DSM, the common recipe.

python tools/train.py configs/ftransunet/ftransunet_potsdam.py

MoBaNet's paper reports OA 90.78, mF1 92.10, mIoU 85.56 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/ftransunet.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
