"""FLAIR (IGN, France): R G B and height above ground of 20 cm, read as it is unpacked.

    data/flair/train-val/D041_2021/...     data/flair/flair#1-test/D012_2019/...

Patches IMG_*.tif and their masks MSK_*.tif lie anywhere below a folder named as their domain.
docs/open_data.md says where to download, and what is not verified.
"""
dataset_type = 'FLAIRDataset'
data_root = 'data/flair/train-val'
test_root = 'data/flair/flair#1-test'
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    img_bands=(1, 2, 3),  # (4, 1, 2): infrared, red, green
    aux_bands=(5, ),
    aux_range=(0.0, 255.0))  # steps of 20 cm above ground: 1 is 51 m
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
    dataset=dict(dataset, domains='train', pipeline=train_pipeline))
# whole patches
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, domains='val', test_mode=True, pipeline=test_pipeline))
test_dataloader = dict(
    val_dataloader,
    dataset=dict(
        dataset, data_root=test_root, domains='test', test_mode=True, pipeline=test_pipeline))
val_evaluator = dict(type='SegmentationMetric')
test_evaluator = val_evaluator
