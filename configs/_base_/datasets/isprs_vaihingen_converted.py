"""ISPRS Vaihingen, converted: half the disk space, tiled, labels as class indices.

python tools/dataset_converters/isprs.py vaihingen DOWNLOADS --out data/vaihingen_converted
"""
_base_ = './isprs_potsdam_converted.py'
data_root = 'data/vaihingen_converted'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
