"""SegFormer B0, ISPRS Vaihingen, infrared-red-green alone.

python tools/train.py configs/segformer/segformer_b0_vaihingen_irrg.py
"""
_base_ = [
    '../_base_/models/segformer_b0.py', '../_base_/datasets/isprs_vaihingen_irrg.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
