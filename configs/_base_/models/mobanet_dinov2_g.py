# MoBaNet on a frozen DINOv2 ViT-g/14: 16,625,266 trainable parameters.
_base_ = ['./mobanet_dinov2_b.py']
dinov2_g = 'https://download.openmmlab.com/mmpretrain/v1.0/dinov2/vit-giant-p14_dinov2-pre_3rdparty_20230426-2934a630.pth'
model = dict(
    backbone=dict(
        encoder=dict(
            arch='giant',
            init_cfg=dict(checkpoint=dinov2_g)),
        out_indices=(9, 19, 29, 39),
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 384 does
        cpia=dict(prompt_dims=232, adapter_dims=96)),
    neck=dict(in_channels=1536))
