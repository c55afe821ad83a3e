"""FTransUNet, two hybrids of ResNet-50 and ViT-B/16, ISPRS Potsdam RGB + nDSM, its authors' recipe.

python tools/train.py configs/ftransunet/ftransunet_potsdam_published.py

SGD, 50 epochs, and a split of its own: its results compare with those of no other split.
Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/ftransunet.py', '../_base_/datasets/isprs_potsdam_ssrs.py',
    '../_base_/schedules/ssrs.py', '../_base_/default_runtime.py'
]
