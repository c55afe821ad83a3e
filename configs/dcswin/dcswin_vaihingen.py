"""DC-Swin, Swin-B, ISPRS Vaihingen IR-R-G alone, the common recipe.

python tools/train.py configs/dcswin/dcswin_vaihingen.py

MoBaNet's paper reports OA 91.33, mF1 90.56, mIoU 83.13 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/dcswin.py', '../_base_/datasets/isprs_vaihingen_irrg.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
