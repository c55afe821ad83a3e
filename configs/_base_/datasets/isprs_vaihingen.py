"""ISPRS Vaihingen, infrared-red-green + DSM, read from the archive's own folders.

data_root holds top, dsm and ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE (the
folders of other downloads are found, too) with the archive's file names; nothing is cut or
converted. labels='full' reads the labels with boundaries.
"""
dataset_type = 'ISPRSVaihingenDataset'
data_root = 'data/vaihingen'
train_tiles = [
    '1', '3', '5', '7', '11', '13', '15', '17', '21', '23', '26', '28', '30', '32', '34', '37'
]
test_tiles = [
    '2', '4', '6', '8', '10', '12', '14', '16', '20', '22', '24', '27', '29', '31', '33', '35', '38'
]
dataset = dict(
    type=dataset_type, data_root=data_root, optical='irrg', height='dsm', labels='eroded')
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
    dataset=dict(dataset, tiles=train_tiles, pipeline=train_pipeline))
# whole tiles, one at a time: 80 MB for 2500 x 2000 pixels of four channels
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, tiles=test_tiles, test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='ISPRSMetric')
test_evaluator = val_evaluator
