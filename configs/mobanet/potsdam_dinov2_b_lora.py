"""Base + LoRA of rank 28, each stream's own: 3.97 M parameters train.

python tools/train.py configs/mobanet/potsdam_dinov2_b_lora.py

LoRA stands in CPIA's place, at its price (Table IV's Base + CPIA trains 3.99 M): the streams do not
meet before their average. The paper has no such model; this configuration has not been trained on
the real tiles by us yet.
"""
_base_ = ['./potsdam_dinov2_b_base.py']
model = dict(backbone=dict(adapter=dict(type='LoRA', rank=28)))
