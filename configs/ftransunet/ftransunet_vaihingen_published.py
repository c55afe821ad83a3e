"""FTransUNet, two hybrids of ResNet-50 and ViT-B/16, ISPRS Vaihingen IR-R-G + DSM, its authors' recipe.

python tools/train.py configs/ftransunet/ftransunet_vaihingen_published.py

SGD, 50 epochs, and a split of its own: its results compare with those of no other split.
Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/ftransunet.py', '../_base_/datasets/isprs_vaihingen_ssrs.py',
    '../_base_/schedules/ssrs.py', '../_base_/default_runtime.py'
]
model = dict(test_cfg=dict(stride=(32, 32)))
