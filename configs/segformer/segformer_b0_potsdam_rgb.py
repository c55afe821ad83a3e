"""SegFormer B0, ISPRS Potsdam, RGB alone.

python tools/train.py configs/segformer/segformer_b0_potsdam_rgb.py
"""
_base_ = [
    '../_base_/models/segformer_b0.py', '../_base_/datasets/isprs_potsdam_rgb.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
