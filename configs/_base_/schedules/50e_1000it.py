# 50 epochs of 1000 iterations: an epoch is 12,000 random windows in batches of 12.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='FrozenOptimWrapperConstructor',  # fused, and silent on what is frozen
    optimizer=dict(type='AdamW', lr=2e-4, weight_decay=0.01),
    # no decay on norms, biases and channel-wise scales, as in the released code
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=5, by_epoch=True, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-6, begin=5, end=50, by_epoch=True, convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
