"""DC-Swin, Swin-B, ISPRS Potsdam RGB alone, its authors' recipe.

python tools/train.py configs/dcswin/dcswin_potsdam_published.py

What differs from it: the dataset's file says what of the pipeline; the backbone starts from
ImageNet's weights, where theirs had learned segmentation on another dataset. Not trained on the
real tiles by us yet.
"""
_base_ = [
    '../_base_/models/dcswin.py', '../_base_/datasets/isprs_potsdam_geoseg.py',
    '../_base_/schedules/geoseg.py', '../_base_/default_runtime.py'
]
model = dict(
    decode_head=dict(loss_decode=[
        dict(type='LabelSmoothingCrossEntropyLoss'),
        dict(type='SoftDiceLoss')
    ]),
    test_cfg=dict(crop_size=(1024, 1024), stride=(768, 768), batch_size=1))
train_dataloader = dict(dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=2.5e-4))
param_scheduler = dict(periods=[10, 20], restart_weights=[1, 1])
train_cfg = dict(max_epochs=30)
