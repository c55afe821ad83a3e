"""ISPRS Potsdam, the optical image alone: no height is read, and none is needed."""
_base_ = './isprs_potsdam.py'
train_dataloader = dict(dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
