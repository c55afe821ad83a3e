"""PSPNet on ResNet-101 (Zhao et al. 2017, arXiv:1612.01105) of MMSegmentation, six classes.

65,596,262 parameters and 2,361,350 of the auxiliary head, which only training uses.
"""
_base_ = ['mmseg::_base_/models/pspnet_r50-d8.py', './any_mmseg_model.py']
head = dict(num_classes=6, norm_cfg=_base_.one_gpu_norm, loss_decode=dict(avg_non_ignore=True))
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(_base_.optical, _delete_=True),
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101, norm_cfg=_base_.one_gpu_norm),
    decode_head=head,
    auxiliary_head=head,
    test_cfg=_base_.sliding)
