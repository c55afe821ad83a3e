"""SegNeXt-T (Guo et al. 2022, arXiv:2209.08575) of MMSegmentation, six classes.

It begins with random weights: the authors' pretrained ones are under Apache-2.0, and ask to contact
them for commercial use. To begin with them,

    model = dict(backbone=dict(init_cfg=dict(type='Pretrained', checkpoint=_base_.ask_authors)))

Its head draws bases at random whenever it runs, so that two predictions of one image differ a bit.
"""
_base_ = './any_mmseg_model.py'
ask_authors = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segnext/mscan_t_20230227-119e8c9f.pth'
model = dict(
    type='TiledEncoderDecoder',
    data_preprocessor=_base_.optical,
    backbone=dict(
        type='StackedMSCAN',
        in_channels=3,
        embed_dims=[32, 64, 160, 256],
        mlp_ratios=[8, 8, 4, 4],
        drop_path_rate=0.1,
        depths=[3, 3, 5, 2],
        attention_kernel_sizes=[5, [1, 7], [1, 11], [1, 21]],
        attention_kernel_paddings=[2, [0, 3], [0, 5], [0, 10]],
        norm_cfg=_base_.one_gpu_norm),
    decode_head=dict(
        type='LightHamHead',
        in_channels=[64, 160, 256],
        in_index=[1, 2, 3],
        channels=256,
        ham_channels=256,
        ham_kwargs=dict(MD_S=1, MD_R=16, train_steps=6, eval_steps=7, inv_t=100, rand_init=True),
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=dict(type='GN', num_groups=32, requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    train_cfg=dict(),
    test_cfg=_base_.sliding)
