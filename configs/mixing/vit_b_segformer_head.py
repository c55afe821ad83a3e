"""MoBaNet's backbone and fusion under SegFormer's all-MLP head, ISPRS Potsdam RGB + DSM.

python tools/train.py configs/mixing/vit_b_segformer_head.py

Two streams of a frozen DINOv2 ViT-B with CPIA, DGFM per stage and MCRM, then a stock head and its
plain cross-entropy. Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
model = dict(
    type='TiledEncoderDecoder',
    neck=dict(unimodal=False),  # the fused maps alone: no head reads the streams' own
    decode_head=dict(
        _delete_=True,
        type='SegformerHead',
        in_channels=[256] * 4,
        in_index=[0, 1, 2, 3],
        channels=256,
        dropout_ratio=0.1,
        num_classes=6,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True)),
    auxiliary_head=None)
