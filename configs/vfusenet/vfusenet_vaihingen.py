"""V-FuseNet, ISPRS Vaihingen IR-R-G + DSM, MoBaNet's recipe.

python tools/train.py configs/vfusenet/vfusenet_vaihingen.py

MoBaNet's paper reports OA 90.0, mF1 89.22 for it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/vfusenet.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
