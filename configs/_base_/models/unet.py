"""U-Net (Ronneberger et al. 2015, arXiv:1505.04597) in its classic widths, six classes.

MMSegmentation's backbone with transposed convolutions of 2 x 2, whose batch norms make it
31,039,878 parameters instead of 31,037,958. Nothing of it is pretrained.
"""
_base_ = ['mmseg::_base_/models/fcn_unet_s5-d16.py', './any_mmseg_model.py']
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(_base_.optical, _delete_=True),
    backbone=dict(
        norm_cfg=_base_.one_gpu_norm, upsample_cfg=dict(type='DeconvModule', kernel_size=2)),
    decode_head=dict(
        num_convs=0,
        dropout_ratio=0,
        num_classes=6,
        norm_cfg=_base_.one_gpu_norm,
        loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=None,
    test_cfg=_base_.sliding)
