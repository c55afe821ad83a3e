"""SegFormer B2 (Xie et al. 2021, arXiv:2105.15203) of MMSegmentation, six classes.

The licence of its weights is that of B0's, and they are loaded in the same way.
"""
_base_ = './segformer_b0.py'
noncommercial = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/mit_b2_20220624-66e8bf70.pth'
model = dict(
    backbone=dict(embed_dims=64, num_layers=[3, 4, 6, 3]),
    decode_head=dict(in_channels=[64, 128, 320, 512]))
