"""FTransUNet, two hybrids of ResNet-50 and ViT-B/16, ISPRS Vaihingen IR-R-G + DSM, the common recipe.

python tools/train.py configs/ftransunet/ftransunet_vaihingen.py

MoBaNet's paper reports OA 91.05, mF1 90.07, mIoU 82.18 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/ftransunet.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
