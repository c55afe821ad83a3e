"""SegFormer B2, ISPRS Vaihingen, infrared-red-green and height as four channels.

python tools/train.py configs/segformer/segformer_b2_vaihingen_irrg-dsm.py
"""
_base_ = [
    '../_base_/models/segformer_b2.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
model = dict(data_preprocessor=_base_.optical_aux, backbone=dict(in_channels=4))
