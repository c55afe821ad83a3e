"""ISPRS Potsdam, converted: half the disk space, tiled, labels as class indices.

python tools/dataset_converters/isprs.py potsdam DOWNLOADS --out data/potsdam_converted
"""
_base_ = './pipeline.py'
data_root = 'data/potsdam_converted'
metainfo = dict(
    classes=('impervious_surface', 'building', 'low_vegetation', 'tree', 'car', 'clutter'),
    palette=[[255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0], [255, 0, 0]])
num_classes = len(metainfo['classes'])
dataset = dict(
    type='MultimodalSegDataset',
    data_root=data_root,
    metainfo=metainfo,
    data_prefix=dict(img_path='img', aux_path='aux', seg_map_path='label'),
    img_bands=(1, 2, 3))  # (1, 2, 3, 4) of --optical rgbir
train_dataloader = dict(dataset=dict(dataset, ann_file='train.txt'))
val_dataloader = dict(dataset=dict(dataset, ann_file='test.txt'))
test_dataloader = val_dataloader
val_evaluator = dict(type='ISPRSMetric')
test_evaluator = val_evaluator
