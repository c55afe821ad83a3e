# MoBaNet on DINOv3's frozen ViT-H+/16: 12,689,318 trainable parameters.
_base_ = ['./mobanet_dinov3_b.py']
dinov3_hplus = 'checkpoints/dinov3_vith16plus_pretrain_lvd1689m-7c1da9a5.pth'
model = dict(
    backbone=dict(
        encoder=dict(arch='huge_plus', init_cfg=dict(checkpoint=dinov3_hplus)),
        out_indices=(7, 15, 23, 31),
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 320 does
        cpia=dict(prompt_dims=193, adapter_dims=80)),
    neck=dict(in_channels=1280))
