"""MoBaNet's backbone and fusion under a feature pyramid and Semantic FPN, ISPRS Potsdam RGB + DSM.

python tools/train.py configs/mixing/vit_b_fpn_head.py

A ViT's maps have one stride, a pyramid needs four: Feature2Pyramid resizes the fused maps to 4, 2,
1 and 1/2 times their grid. Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
model = dict(
    type='TiledEncoderDecoder',
    # a list is a chain
    neck=[
        dict(type='DGFMNeck', in_channels=768, out_channels=256, unimodal=False),
        dict(
            type='Feature2Pyramid',
            embed_dim=256,
            rescales=[4, 2, 1, 0.5],
            norm_cfg=_base_.norm_cfg),
        dict(type='FPN', in_channels=[256] * 4, out_channels=256, num_outs=4)
    ],
    decode_head=dict(
        _delete_=True,
        type='FPNHead',
        in_channels=[256] * 4,
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],  # their ratios count: with patches of 14 it is 3.5, 7, ...
        channels=128,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    auxiliary_head=None)
