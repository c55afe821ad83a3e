"""UPerNet on Swin-T (Liu et al. 2021, arXiv:2103.14030) of MMSegmentation, six classes."""
_base_ = ['mmseg::_base_/models/upernet_swin.py', './any_mmseg_model.py']
swin_t = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin/swin_tiny_patch4_window7_224_20220317-1cdeb081.pth'
head = dict(num_classes=6, norm_cfg=_base_.one_gpu_norm, loss_decode=dict(avg_non_ignore=True))
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(_base_.optical, _delete_=True),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=swin_t)),
    decode_head=head,
    auxiliary_head=head,
    test_cfg=_base_.sliding)
