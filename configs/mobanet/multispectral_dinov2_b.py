"""MoBaNet, DINOv2 ViT-B/14, true colour + ten Sentinel-2 bands, rasters of your own.

python tools/train.py configs/mobanet/multispectral_dinov2_b.py

    data/sentinel2/tci/A.tif      the product's true-colour image, three bands, 0..255
    data/sentinel2/bands/A.tif    B2 B3 B4 B5 B6 B7 B8 B8A B11 B12 on the same 10 m grid,
                                  surface reflectance times 10,000
    data/sentinel2/labels/A.tif   one band of class indices
    data/sentinel2/train.txt      data/sentinel2/test.txt      one stem ('A') a line

The auxiliary patch embedding has ten channels of its own; its filters start from the pretrained
ones' mean.
"""
_base_ = [
    '../_base_/models/mobanet_dinov2_b.py', '../_base_/datasets/multimodal.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
metainfo = dict(  # yours
    classes=('cropland', 'forest', 'grassland', 'built-up', 'water'),
    palette=[[240, 200, 80], [0, 100, 0], [140, 200, 80], [200, 0, 0], [0, 0, 255]])
num_classes = len(metainfo['classes'])
modality_channels = (3, 10)
model = dict(
    data_preprocessor=dict(
        modality_channels=modality_channels,
        mean=[123.675, 116.28, 103.53] + [0.2] * 10,  # reflectance; measure yours
        std=[58.395, 57.12, 57.375] + [0.15] * 10),
    backbone=dict(modality_channels=modality_channels),
    decode_head=dict(num_classes=num_classes),
    auxiliary_head=[
        dict(_base_.aux_head, num_classes=num_classes, in_index=in_index) for in_index in (4, 5)
    ])
dataset = dict(
    data_root='data/sentinel2',
    metainfo=metainfo,
    data_prefix=dict(img_path='tci', aux_path='bands'),
    aux_bands=tuple(range(1, 11)),
    aux_kind='bands',  # pictures are of the first three, not shaded
    aux_range=(0.0, 10000.0))  # to reflectance
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = val_dataloader
