"""DC-Swin, Swin-B, ISPRS Potsdam RGB alone, the common recipe.

python tools/train.py configs/dcswin/dcswin_potsdam.py

MoBaNet's paper reports OA 90.86, mF1 92.14, mIoU 85.64 of it; this configuration has not been
trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/dcswin.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
