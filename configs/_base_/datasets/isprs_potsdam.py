"""ISPRS Potsdam, RGB + DSM, read from the archive's own folders.

data_root holds 1_DSM, 2_Ortho_RGB and 5_Labels_all_noBoundary (or the older
5_Labels_for_participants_no_Boundary) with the archive's file names; nothing is cut or converted.
optical='irrg' or 'rgbir' (four bands), height='ndsm' and labels='full' read the other folders.
"""
dataset_type = 'ISPRSPotsdamDataset'
data_root = 'data/potsdam'
train_tiles = [
    '2_10', '2_11', '2_12', '3_10', '3_11', '3_12', '4_10', '4_11', '4_12', '5_10', '5_11', '5_12',
    '6_7', '6_8', '6_9', '6_10', '6_11', '6_12', '7_7', '7_8', '7_9',
    '7_10',  # known for wrong annotations; the paper's 24 tiles include it
    '7_11', '7_12'
]
test_tiles = [
    '2_13', '2_14', '3_13', '3_14', '4_13', '4_14', '4_15', '5_13', '5_14', '5_15', '6_13', '6_14',
    '6_15', '7_13'
]
dataset = dict(
    type=dataset_type, data_root=data_root, optical='rgb', height='dsm', labels='eroded')
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
# whole tiles, one at a time: 576 MB for 6000 x 6000 pixels of four channels
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(dataset, tiles=test_tiles, test_mode=True, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='ISPRSMetric')
test_evaluator = val_evaluator
