"""ISPRS Potsdam, RGB + DSM, read from the archive's own folders.

data_root holds 1_DSM, 2_Ortho_RGB and 5_Labels_all_noBoundary (or the older
5_Labels_for_participants_no_Boundary) with the archive's file names; nothing is cut or converted.
optical='irrg' or 'rgbir' (four bands), height='ndsm' and labels='full' read the other folders,
height=None the optical image alone.
"""
_base_ = './pipeline.py'
dataset_type = 'ISPRSPotsdamDataset'
data_root = 'data/potsdam'
# or 'ssrs', that of CMFNet, FTransUNet, MANet and MM-DINO; training, validation and test follow
split = 'paper'
# for a config that takes some of them out: [tile for tile in _base_.train_tiles if ...]
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
num_classes = 6
dataset = dict(
    type=dataset_type, data_root=data_root, optical='rgb', height='dsm', labels='eroded')
train_dataloader = dict(dataset=dict(dataset, tiles='train'))
val_dataloader = dict(dataset=dict(dataset, tiles='test'))
test_dataloader = val_dataloader
val_evaluator = dict(type='ISPRSMetric')
test_evaluator = val_evaluator
