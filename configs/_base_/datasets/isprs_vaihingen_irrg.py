"""ISPRS Vaihingen, the optical image (infrared, red, green) alone: no height is read."""
_base_ = './isprs_vaihingen.py'
train_dataloader = dict(dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
