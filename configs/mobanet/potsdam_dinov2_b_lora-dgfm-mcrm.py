"""MoBaNet with LoRA of rank 28 in CPIA's place: 6.16 M parameters train.

python tools/train.py configs/mobanet/potsdam_dinov2_b_lora-dgfm-mcrm.py

Rank 28 is the largest within the paper's 6.18 M. The paper has no such model; this configuration
has not been trained on the real tiles by us yet.
"""
_base_ = ['./potsdam_dinov2_b.py']
model = dict(backbone=dict(cpia=None, adapter=dict(type='LoRA', rank=28)))
