"""V-FuseNet, ISPRS Potsdam RGB + DSM, MoBaNet's recipe.

python tools/train.py configs/vfusenet/vfusenet_potsdam.py

MoBaNet's paper reports OA 90.6, mF1 92.0 for it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/vfusenet.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
