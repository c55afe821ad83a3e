"""U-Net, ISPRS Potsdam, RGB alone.

python tools/train.py configs/unet/unet_potsdam.py
"""
_base_ = [
    '../_base_/models/unet.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
