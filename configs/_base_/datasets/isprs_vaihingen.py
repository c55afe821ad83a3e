"""ISPRS Vaihingen, infrared-red-green + DSM, read from the archive's own folders.

data_root holds top, dsm and ISPRS_semantic_labeling_Vaihingen_ground_truth_eroded_COMPLETE (the
folders of other downloads are found, too) with the archive's file names; nothing is cut or
converted. labels='full' reads the labels with boundaries.
"""
_base_ = './pipeline.py'
dataset_type = 'ISPRSVaihingenDataset'
data_root = 'data/vaihingen'
# or 'ssrs', that of CMFNet, FTransUNet, MANet and MM-DINO; training, validation and test follow
split = 'paper'
# for a config that takes some of them out: [tile for tile in _base_.train_tiles if ...]
train_tiles = [
    '1', '3', '5', '7', '11', '13', '15', '17', '21', '23', '26', '28', '30', '32', '34', '37'
]
test_tiles = [
    '2', '4', '6', '8', '10', '12', '14', '16', '20', '22', '24', '27', '29', '31', '33', '35', '38'
]
num_classes = 6
dataset = dict(
    type=dataset_type, data_root=data_root, optical='irrg', height='dsm', labels='eroded')
train_dataloader = dict(dataset=dict(dataset, tiles='train'))
val_dataloader = dict(dataset=dict(dataset, tiles='test'))
test_dataloader = val_dataloader
val_evaluator = dict(type='ISPRSMetric')
test_evaluator = val_evaluator
