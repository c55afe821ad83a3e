"""DroneDeploy's Segmentation Dataset: R G B and height of 10 cm, cut into tiles.

python tools/dataset_converters/dronedeploy.py data/dataset-medium --out data/dronedeploy

docs/open_data.md says where to download, and what is not verified.
"""
_base_ = './pipeline.py'
dataset_type = 'MultimodalSegDataset'
data_root = 'data/dronedeploy'
metainfo = dict(
    classes=('building', 'clutter', 'vegetation', 'water', 'ground', 'car'),
    palette=[[230, 25, 75], [145, 30, 180], [60, 180, 75], [245, 130, 48], [255, 255, 255],
             [0, 130, 200]])
num_classes = len(metainfo['classes'])
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    metainfo=metainfo,
    data_prefix=dict(img_path='img', aux_path='aux', seg_map_path='label'),
    aux_range='tile')  # the scenes lie at any height above the sea
train_dataloader = dict(dataset=dict(dataset, ann_file='train.txt'))
val_dataloader = dict(dataset=dict(dataset, ann_file='val.txt'))
test_dataloader = dict(dataset=dict(dataset, ann_file='test.txt'))
