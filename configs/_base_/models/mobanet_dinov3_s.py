# MoBaNet on DINOv3's frozen ViT-S/16: 3,322,858 trainable parameters.
_base_ = ['./mobanet_dinov3_b.py']
dinov3_s = 'checkpoints/dinov3_vits16_pretrain_lvd1689m-08c60483.pth'
model = dict(
    backbone=dict(
        encoder=dict(arch='small', init_cfg=dict(checkpoint=dinov3_s)),
        out_indices=(2, 5, 8, 11),
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 96 does
        cpia=dict(prompt_dims=58, adapter_dims=24)),
    neck=dict(in_channels=384))
