"""MoBaNet on DINOv3 ViT-B/16 with LoRA of rank 28 in CPIA's place: 6.30 M parameters train.

python tools/train.py configs/mobanet/potsdam_dinov3_b_lora-dgfm-mcrm.py

Expects the weights, under the DINOv3 License, in checkpoints. The paper has no such model; this
configuration has not been trained on the real tiles by us yet.
"""
_base_ = ['./potsdam_dinov3_b.py']
model = dict(backbone=dict(cpia=None, adapter=dict(type='LoRA', rank=28)))
