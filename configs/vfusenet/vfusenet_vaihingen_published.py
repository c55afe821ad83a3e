"""V-FuseNet, ISPRS Vaihingen IR-R-G + DSM, the recipe of its authors' Caffe solver.

python tools/train.py configs/vfusenet/vfusenet_vaihingen_published.py

SGD for 200,000 iterations of 10 windows of 128 pixels, half the learning rate for the encoders, no
loss on clutter. The weights of the other classes are not known and left at 1; what the authors give
the second encoder is a composite of DSM, normalised DSM and NDVI, here it is the DSM. Not trained on
the real tiles by us yet.
"""
_base_ = './vfusenet_vaihingen.py'
crop_size = (128, 128)
model = dict(
    decode_head=dict(loss_decode=dict(
        _delete_=True,
        type='ClassWeightedCrossEntropyLoss',
        class_weight=[1.0, 1.0, 1.0, 1.0, 1.0, 0.0])),
    test_cfg=dict(crop_size=crop_size, stride=(64, 64)))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.5))))
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, milestones=[60, 120, 170], gamma=0.1)
]
train_dataloader = dict(batch_size=10, sampler=dict(num_samples=10000, window_size=crop_size))
train_cfg = dict(max_epochs=200)
