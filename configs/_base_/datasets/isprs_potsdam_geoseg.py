"""ISPRS Potsdam as GeoSeg's networks are trained on it: windows of 1024, scaled, crops of 768.

A crop is drawn again, ten times at most, until its largest class has less than 75 % of it. Two
things are not the published ones: there are no mosaics of four windows (a quarter of the samples
there), because RandomMosaic draws whole tiles; and windows lie at random where the tiles were cut
on a grid, an epoch being as many as a step of 512 gives.
"""
_base_ = './isprs_potsdam.py'
crop_size = (768, 768)
train_pipeline = [
    dict(type='LoadMultimodalRaster'),
    dict(type='LoadRasterAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[(side, side) for side in (768, 1024, 1280, 1536)],
        resize_type='Resize',
        keep_ratio=False),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys)
]
train_dataloader = dict(
    batch_size=8,
    sampler=dict(num_samples=2904, window_size=(1024, 1024)),
    dataset=dict(pipeline=train_pipeline))
