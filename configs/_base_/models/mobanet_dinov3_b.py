# MoBaNet on DINOv3's frozen ViT-B/16: 6,320,770 trainable parameters.
_base_ = ['./mobanet_dinov2_b.py']
# Not fetched: put the file of Meta (its name), Hugging Face or timm here, or set this to its path.
# Whoever uses it accepts the DINOv3 License.
dinov3_b = 'checkpoints/dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth'
model = dict(
    data_preprocessor=dict(size_divisor=16),  # images of the web, LVD-1689M: normalised as ImageNet
    backbone=dict(
        encoder=dict(
            _delete_=True,
            type='DINOv3',
            arch='base',
            init_cfg=dict(type='Pretrained', checkpoint=dinov3_b))))
