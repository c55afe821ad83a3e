# MoBaNet on a frozen DINOv2 ViT-B/14 with 4 registers: 6,182,530 trainable parameters.
_base_ = ['./mobanet_dinov2_b.py']
dinov2_b_reg4 = 'https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth'
model = dict(backbone=dict(encoder=dict(num_registers=4, init_cfg=dict(checkpoint=dinov2_b_reg4))))
