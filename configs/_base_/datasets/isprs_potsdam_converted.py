"""ISPRS Potsdam, converted: half the disk space, tiled, labels as class indices.

python tools/dataset_converters/isprs.py potsdam DOWNLOADS --out data/potsdam_converted
"""
_base_ = './isprs_potsdam.py'
data_root = 'data/potsdam_converted'
dataset = dict(
    _delete_=True,
    type='MultimodalSegDataset',
    data_root=data_root,
    metainfo=dict(
        classes=('impervious_surface', 'building', 'low_vegetation', 'tree', 'car', 'clutter'),
        palette=[[255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0],
                 [255, 0, 0]]),
    data_prefix=dict(img_path='img', aux_path='aux', seg_map_path='label'),
    img_bands=(1, 2, 3))  # (1, 2, 3, 4) of --optical rgbir
train_dataloader = dict(
    dataset=dict(dataset, ann_file='train.txt', pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(
    dataset=dict(dataset, ann_file='test.txt', test_mode=True, pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
