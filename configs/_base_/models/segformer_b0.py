"""SegFormer B0 (Xie et al. 2021, arXiv:2105.15203) of MMSegmentation, six classes.

It begins with random weights: the pretrained ones of its authors, and MMSegmentation's head, are
under NVIDIA's licence for research and evaluation alone. Where that is what you do,

    model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=_base_.noncommercial)))
"""
_base_ = ['mmseg::_base_/models/segformer_mit-b0.py', './any_mmseg_model.py']
noncommercial = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/mit_b0_20220624-7e0fe6dd.pth'
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=dict(_base_.optical, _delete_=True),
    decode_head=dict(
        num_classes=6, norm_cfg=_base_.one_gpu_norm, loss_decode=dict(avg_non_ignore=True)),
    test_cfg=_base_.sliding)
