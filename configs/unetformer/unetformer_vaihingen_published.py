"""UNetFormer, ResNet-18, ISPRS Vaihingen IR-R-G alone, its authors' recipe.

python tools/train.py configs/unetformer/unetformer_vaihingen_published.py

What differs from it: the dataset's file says what of the pipeline, and the backbone starts from
torchvision's weights. Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/unetformer.py', '../_base_/datasets/isprs_vaihingen_geoseg.py',
    '../_base_/schedules/geoseg.py', '../_base_/default_runtime.py'
]
model = dict(
    decode_head=dict(
        loss_decode=[dict(type='LabelSmoothingCrossEntropyLoss'), dict(type='SoftDiceLoss')],
        loss_auxiliary=dict(
            _delete_=True, type='LabelSmoothingCrossEntropyLoss', loss_weight=0.4)),
    test_cfg=dict(crop_size=(1024, 1024), stride=(768, 768), batch_size=1))
train_dataloader = dict(dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
