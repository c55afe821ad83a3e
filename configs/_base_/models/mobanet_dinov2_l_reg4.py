# MoBaNet on a frozen DINOv2 ViT-L/14 with 4 registers: 8,989,086 trainable parameters.
_base_ = ['./mobanet_dinov2_l.py']
dinov2_l_reg4 = 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_reg4_pretrain.pth'
model = dict(backbone=dict(encoder=dict(num_registers=4, init_cfg=dict(checkpoint=dinov2_l_reg4))))
