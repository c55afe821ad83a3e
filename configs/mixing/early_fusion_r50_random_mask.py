"""The masks of MCRM drawn in the pipeline, for models that keep MMSeg's own data preprocessor.

python tools/train.py configs/mixing/early_fusion_r50_random_mask.py

The model of early_fusion_r50_mcrm.py. The transform MCRM comes before the normalisation, so
it fills with the channels' means; it masks each sample with a probability of 0.25, where the data
preprocessor masks that share of each batch. Not trained on the real tiles by us yet.
"""
_base_ = ['./early_fusion_r50_mcrm.py']
mean = [123.675, 116.28, 103.53, 0.0]
model = dict(
    data_preprocessor=dict(
        _delete_=True,
        type='SegDataPreProcessor',
        mean=mean,
        std=[58.395, 57.12, 57.375, 1.0],
        size=_base_.crop_size))
train_pipeline = [
    dict(type='LoadMultimodalRaster'),
    dict(type='LoadRasterAnnotations'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='MCRM', modality_channels=(3, 1), fill=mean, ratio=0.25),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys)
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
