# MoBaNet on SAM's frozen ViT-L/16: 9,173,406 trainable parameters.
_base_ = ['./mobanet_sam_b.py']
sam_l = 'https://download.openmmlab.com/mmclassification/v1/vit_sam/vit-large-p16_sam-pre_3rdparty_sa1b-1024px_20230411-595feafd.pth'
model = dict(
    backbone=dict(
        encoder=dict(arch='large', init_cfg=dict(checkpoint=sam_l)),
        out_indices=(5, 11, 17, 23),
        # h = C/16; a stage costs about what one without adapters and r = C/4 = 256 does
        cpia=dict(prompt_dims=155, adapter_dims=64)),
    neck=dict(in_channels=1024))
