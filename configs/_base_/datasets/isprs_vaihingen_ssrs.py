"""ISPRS Vaihingen as CMFNet, FTransUNet and MANet were published on it: another split.

12 tiles train and 4 test, all of the 16 that others train on, so that results compare with those of
no other split. Batches of 10.
"""
_base_ = './isprs_vaihingen.py'
split = 'ssrs'
train_tiles = ['1', '3', '7', '11', '13', '17', '23', '26', '28', '32', '34', '37']
test_tiles = ['5', '15', '21', '30']
train_dataloader = dict(batch_size=10, sampler=dict(num_samples=10000))
