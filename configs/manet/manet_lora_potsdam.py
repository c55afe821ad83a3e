"""MANet, SAM's ViT-B/16 with MMLoRA, ISPRS Potsdam RGB + DSM, the common recipe.

python tools/train.py configs/manet/manet_lora_potsdam.py

3,190,478 trained parameters. Not trained on the real tiles by us yet.
"""
_base_ = ['./manet_potsdam.py']
model = dict(backbone=dict(tuning='lora'))
