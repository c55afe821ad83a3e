"""DroneDeploy's Segmentation Dataset: R G B and height of 10 cm, cut into tiles.

python tools/dataset_converters/dronedeploy.py data/dataset-medium --out data/dronedeploy

docs/open_data.md says where to download, and what is not verified.
"""
dataset_type = 'MultimodalSegDataset'
data_root = 'data/dronedeploy'
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    metainfo=dict(
        classes=('building', 'clutter', 'vegetation', 'water', 'ground', 'car'),
        palette=[[230, 25, 75], [145, 30, 180], [60, 180, 75], [245, 130, 48], [255, 255, 255],
                 [0, 130, 200]]),
    data_prefix=dict(img_path='img', aux_path='aux', seg_map_path='label'),
    aux_range='tile')  # the scenes lie at any height above the sea
crop_size = (256, 256)

# what the model and the visualization are told of a sample, besides its pixels
meta_keys = ('img_path', 'aux_path', 'seg_map_path', 'window', 'img_bands', 'aux_bands',
             'aux_range', 'ori_shape', 'img_shape', 'flip', 'flip_direction')
train_pipeline = [
    dict(type='LoadMultimodalRaster'),
    dict(type='LoadRasterAnnotations'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackSegInputs', meta_keys=meta_keys)
]
test_pipeline = [
    dict(type='LoadMultimodalRaster'),
    dict(type='LoadRasterAnnotations'),
    dict(type='PackSegInputs', meta_keys=meta_keys)
]
# the tta_model turns and mirrors the image by itself; TestTimeAug works here, too
tta_pipeline = test_pipeline
train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    # an epoch is 12,000 windows: 1000 iterations
    sampler=dict(type='RandomWindowSampler', num_samples=12000, window_size=crop_size),
    dataset=dict(dataset, ann_file='train.txt', pipeline=train_pipeline))
# whole tiles, one at a time
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, ann_file='val.txt', test_mode=True, pipeline=test_pipeline))
test_dataloader = dict(
    val_dataloader,
    dataset=dict(dataset, ann_file='test.txt', test_mode=True, pipeline=test_pipeline))
val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator
