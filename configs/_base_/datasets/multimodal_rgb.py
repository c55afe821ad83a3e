"""Rasters of your own, the optical image alone: copy multimodal.py, and inherit the copy here."""
_base_ = './multimodal.py'
alone = dict(data_prefix=dict(aux_path=None))
train_dataloader = dict(dataset=alone)
val_dataloader = dict(dataset=alone)
test_dataloader = val_dataloader
