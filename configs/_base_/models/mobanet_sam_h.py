# MoBaNet on SAM's frozen ViT-H/16: 12,689,318 trainable parameters.
_base_ = ['./mobanet_sam_b.py']
sam_h = 'https://download.openmmlab.com/mmclassification/v1/vit_sam/vit-huge-p16_sam-pre_3rdparty_sa1b-1024px_20230411-3f13c653.pth'
model = dict(
    backbone=dict(
        encoder=dict(arch='huge', init_cfg=dict(checkpoint=sam_h)),
        out_indices=(7, 15, 23, 31),
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 320 does
        cpia=dict(prompt_dims=193, adapter_dims=80)),
    neck=dict(in_channels=1280))
