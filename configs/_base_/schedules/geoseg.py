# The recipe of GeoSeg's networks, here UNetFormer's on Vaihingen (Wang et al. 2022): AdamW within
# Lookahead, the backbone at a tenth of the rate, cosines of 15, 30 and 60 epochs from the full rate
# each. Potsdam stops after two of them: train_cfg=dict(max_epochs=45).
# Biases do not decay; those of a pretrained backbone do, because MMEngine has one rule for a key.
optim_wrapper = dict(
    type='LookaheadOptimWrapper',
    constructor='FrozenOptimWrapperConstructor',
    k=5,
    alpha=0.5,
    optimizer=dict(type='AdamW', lr=6e-4, weight_decay=0.01),
    paramwise_cfg=dict(bias_decay_mult=0.0, custom_keys={'backbone': dict(lr_mult=0.1)}))
param_scheduler = dict(
    type='CosineRestartLR',
    periods=[15, 30, 60],
    restart_weights=[1, 1, 1],
    eta_min=0.0,
    by_epoch=True)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=105, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
