"""UPerNet on Swin-T, ISPRS Potsdam, RGB alone.

python tools/train.py configs/upernet/upernet_swin_t_potsdam_rgb.py
"""
_base_ = [
    '../_base_/models/upernet_swin_t.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
