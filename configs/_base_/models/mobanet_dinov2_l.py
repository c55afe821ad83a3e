# MoBaNet on a frozen DINOv2 ViT-L/14: 8,989,086 trainable parameters.
_base_ = ['./mobanet_dinov2_b.py']
dinov2_l = 'https://download.openmmlab.com/mmpretrain/v1.0/dinov2/vit-large-p14_dinov2-pre_3rdparty_20230426-f3302d9e.pth'
model = dict(
    backbone=dict(
        encoder=dict(
            arch='large',
            init_cfg=dict(checkpoint=dinov2_l)),
        out_indices=(5, 11, 17, 23),
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 256 does
        cpia=dict(prompt_dims=155, adapter_dims=64)),
    neck=dict(in_channels=1024))
