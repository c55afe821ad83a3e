"""How every dataset is read: random windows to train on, whole tiles to test on.

The files beside this one inherit it and name their dataset.
"""
crop_size = (256, 256)

# what the model and the hooks are told of a sample, besides its pixels
meta_keys = ('img_path', 'seg_map_path', 'window', 'ori_shape', 'img_shape', 'flip',
             'flip_direction', 'split')
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
train_dataloader = dict(
    batch_size=12,
    num_workers=4,
    persistent_workers=True,
    # an epoch is 12,000 windows: 1000 iterations
    sampler=dict(type='RandomWindowSampler', num_samples=12000, window_size=crop_size),
    dataset=dict(pipeline=train_pipeline))
# whole tiles, one at a time: 576 MB for 6000 x 6000 pixels of four channels
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator
