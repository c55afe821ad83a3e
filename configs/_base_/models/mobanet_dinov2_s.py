# MoBaNet on a frozen DINOv2 ViT-S/14: 3,253,738 trainable parameters.
_base_ = ['./mobanet_dinov2_b.py']
dinov2_s = 'https://download.openmmlab.com/mmpretrain/v1.0/dinov2/vit-small-p14_dinov2-pre_3rdparty_20230426-5641ca5a.pth'
model = dict(
    backbone=dict(
        encoder=dict(
            arch='small',
            init_cfg=dict(checkpoint=dinov2_s)),
        out_indices=(2, 5, 8, 11),
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 96 does
        cpia=dict(prompt_dims=58, adapter_dims=24)),
    neck=dict(in_channels=384))
