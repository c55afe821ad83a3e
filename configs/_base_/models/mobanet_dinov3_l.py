# MoBaNet on DINOv3's frozen ViT-L/16: 9,173,406 trainable parameters.
_base_ = ['./mobanet_dinov3_b.py']
dinov3_l = 'checkpoints/dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth'
model = dict(
    backbone=dict(
        encoder=dict(arch='large', init_cfg=dict(checkpoint=dinov3_l)),
        out_indices=(4, 11, 17, 23),  # as DINOv3's own segmentation
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 256 does
        cpia=dict(prompt_dims=155, adapter_dims=64)),
    neck=dict(in_channels=1024))
