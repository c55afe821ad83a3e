custom_imports = dict(imports=['mobanet_mmseg'], allow_failed_imports=False)
default_scope = 'mmseg'
runner_type = 'SafeRunner'  # nothing that a checkpoint says is run, opened or removed
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=True),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # the last checkpoint counts; add save_best='mIoU' only with a validation split that is not the test split
    checkpoint=dict(type='WholeCheckpointHook', by_epoch=True, interval=5, max_keep_ckpts=3),
    # leaves the frozen encoder out of them, for a fingerprint; whole=True saves it, too
    adapters=dict(type='AdapterCheckpointHook', whole=False),
    # stops a training whose loss or weights are no longer finite
    finite=dict(type='FiniteHook'),
    # a training that resumes goes on bit for bit as if it had not stopped
    randomness=dict(type='RandomnessHook'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    # draw=True draws each validation: both images, truth, prediction, errors; interval=5 every
    # fifth batch alone
    visualization=dict(type='MultimodalVisualizationHook'),
    parameters=dict(type='TrainableParametersHook'),
    # with the log's lines: mean gate of each stage, norm of the gradients of each stream's adapters
    balance=dict(type='BalanceHook'),
    # draw=True draws the gates over the first num samples of each validation
    gates=dict(type='GateHook', draw=False, num=1),
    # the last validation once more without aux, and a warning where that is as good; False: not
    aux_gain=dict(type='AuxGainHook', compare=True),
    # weights of three channels start a backbone of more (in_channels=4): the new ones begin as 0
    pretrained_stem=dict(type='PretrainedStemHook', new_channels='zeros'),
    # strict=False: a training may start (load_from) from what fits of another task's checkpoint
    strict_checkpoint=dict(type='StrictCheckpointHook', strict=True),
    # allow=True: a tile may be trained on and validated or tested on
    split_overlap=dict(type='SplitOverlapHook', allow=False))
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=True)
log_level = 'INFO'
# on several GPUs, BN takes the statistics of the whole batch; None on several CPUs
sync_bn = 'torch'
load_from = None
resume = False
randomness = dict(seed=42)
