"""MANet, SAM's ViT-B/16 with MMLoRA, ISPRS Vaihingen IR-R-G + DSM, the common recipe.

python tools/train.py configs/manet/manet_lora_vaihingen.py

3,190,478 trained parameters. Not trained on the real tiles by us yet.
"""
_base_ = ['./manet_vaihingen.py']
model = dict(backbone=dict(tuning='lora'))
