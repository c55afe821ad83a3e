# MoBaNet on SAM's frozen ViT-B/16: 6,320,770 trainable parameters.
_base_ = ['./mobanet_dinov2_b.py']
sam_b = 'https://download.openmmlab.com/mmclassification/v1/vit_sam/vit-base-p16_sam-pre_3rdparty_sa1b-1024px_20230411-2320f9cc.pth'
model = dict(
    data_preprocessor=dict(
        mean=[0.0, 0.0, 0.0, 0.0],  # RGB is scaled to 0..1 and not normalised, as in the paper
        std=[255.0, 255.0, 255.0, 1.0],
        size_divisor=16),
    backbone=dict(
        encoder=dict(
            _delete_=True,
            type='SAM',
            arch='base',
            init_cfg=dict(type='Pretrained', checkpoint=sam_b))))
