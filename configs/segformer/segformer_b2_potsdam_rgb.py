"""SegFormer B2, ISPRS Potsdam, RGB alone.

python tools/train.py configs/segformer/segformer_b2_potsdam_rgb.py
"""
_base_ = [
    '../_base_/models/segformer_b2.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
