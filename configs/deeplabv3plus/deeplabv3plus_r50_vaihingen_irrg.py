"""DeepLabV3+ on ResNet-50, ISPRS Vaihingen, infrared-red-green alone.

python tools/train.py configs/deeplabv3plus/deeplabv3plus_r50_vaihingen_irrg.py
"""
_base_ = [
    '../_base_/models/deeplabv3plus_r50.py', '../_base_/datasets/isprs_vaihingen_irrg.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
