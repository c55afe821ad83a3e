"""ISPRS Potsdam as CMFNet, FTransUNet and MANet were published on it: another split, other heights.

18 of the training tiles train and the other 6 test, so that results compare with those of no other
split. The height is the normalised DSM. Batches of 10.
"""
_base_ = './isprs_potsdam.py'
split = 'ssrs'
train_tiles = [
    '2_10', '2_12', '3_11', '3_12', '4_11', '4_12', '5_10', '5_12', '6_7', '6_8', '6_9', '6_10',
    '6_12', '7_7', '7_8', '7_9',
    '7_10',  # known for wrong annotations
    '7_11'
]
test_tiles = ['2_11', '3_10', '4_10', '5_11', '6_11', '7_12']
train_dataloader = dict(
    batch_size=10,
    sampler=dict(num_samples=10000),
    dataset=dict(height='ndsm'))
val_dataloader = dict(dataset=dict(height='ndsm'))
test_dataloader = val_dataloader
