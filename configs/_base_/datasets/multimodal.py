"""A template for rasters of your own: copy it, and change what is commented.

    data/mine/optical/A.tif  data/mine/height/A.tif  data/mine/labels/A.tif
    data/mine/train.txt      data/mine/test.txt      one stem ('A') a line

The three rasters of a tile lie on one grid: same size, same place. A label of one band holds class
indices, one of three bands the palette's colours (black is no label).

    python tools/misc/check_data.py CONFIG                               what will hurt, before training
    python tools/analysis_tools/browse_dataset.py CONFIG --out pictures  what the network gets
"""
dataset_type = 'MultimodalSegDataset'
data_root = 'data/mine'
metainfo = dict(
    classes=('background', 'building'),  # yours, in the order of their indices
    palette=[[128, 128, 128], [255, 0, 0]])
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    metainfo=metainfo,
    data_prefix=dict(img_path='optical', aux_path='height', seg_map_path='labels'),
    img_suffix='.tif',
    aux_suffix='.tif',
    seg_map_suffix='.tif',
    img_bands=(1, 2, 3),  # in the order of the model's channels; (4, 1, 2) is an IR-R-G of RGBIR
    aux_bands=(1, ),
    # 'tile': each tile's own min and max; ('percentile', 1, 99): its own percentiles, values beyond
    # are clipped (tools/misc/check_data.py says where outliers call for it); (low, high) in the
    # raster's unit; None: as they are
    aux_range='tile',
    label_values=None,  # value of each class in an index label, for example (1, 2); None: 0, 1
    label_ignore=(255, ))  # values that mean 'no label'; so does the raster's nodata value
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
    dataset=dict(dataset, ann_file='test.txt', test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator
