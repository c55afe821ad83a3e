"""SegNeXt-T, ISPRS Vaihingen, infrared-red-green alone.

python tools/train.py configs/segnext/segnext_t_vaihingen_irrg.py
"""
_base_ = [
    '../_base_/models/segnext_t.py', '../_base_/datasets/isprs_vaihingen_irrg.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
