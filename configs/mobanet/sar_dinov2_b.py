"""MoBaNet, DINOv2 ViT-B/14, optical + SAR (VV and VH backscatter in dB), rasters of your own.

python tools/train.py configs/mobanet/sar_dinov2_b.py

    data/sar/optical/A.tif   three bands, 0..255
    data/sar/sar/A.tif       two bands, VV and VH, dB, on the optical raster's grid
    data/sar/labels/A.tif    one band of class indices
    data/sar/train.txt       data/sar/test.txt       one stem ('A') a line

Backscatter means the same in every tile, so one fixed range scales them all; each tile's own range
(aux_range='tile') would throw that away. Pixels without data become the range's low end, where
aux_range=None would make them 0 dB: brighter than anything.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/multimodal.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
metainfo = dict(classes=('land', 'water'), palette=[[160, 140, 100], [0, 0, 255]])  # yours
num_classes = len(metainfo['classes'])
modality_channels = (3, 2)
model = dict(
    data_preprocessor=dict(
        modality_channels=modality_channels,
        mean=[123.675, 116.28, 103.53, 0.5, 0.5],  # of VV and VH after scaling; measure yours
        std=[58.395, 57.12, 57.375, 0.2, 0.2]),
    backbone=dict(modality_channels=modality_channels),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=[
        dict(_base_.aux_head, num_classes=num_classes, in_index=in_index) for in_index in (4, 5)
    ])
dataset = dict(
    data_root='data/sar',
    metainfo=metainfo,
    data_prefix=dict(aux_path='sar'),
    aux_bands=(1, 2),
    aux_kind='sar',  # pictures are grey, not shaded
    aux_range=((-25.0, -32.0), (0.0, -7.0)))  # dB: the low ends of VV and VH, then the high ends
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
