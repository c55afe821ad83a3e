"""DeepLabV3+ on ResNet-50 (Chen et al. 2018, arXiv:1802.02611) of MMSegmentation, six classes."""
_base_ = ['mmseg::_base_/models/deeplabv3plus_r50-d8.py', './any_mmseg_model.py']
head = dict(num_classes=6, norm_cfg=_base_.one_gpu_norm, loss_decode=dict(avg_non_ignore=True))
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(_base_.optical, _delete_=True),
    backbone=dict(norm_cfg=_base_.one_gpu_norm),
    decode_head=head,
    auxiliary_head=head,
    test_cfg=_base_.sliding)
