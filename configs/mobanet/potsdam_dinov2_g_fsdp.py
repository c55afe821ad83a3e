"""MoBaNet, DINOv2 ViT-g/14, the frozen blocks spread over several GPUs; ISPRS Potsdam RGB + DSM.

bash tools/dist_train.sh configs/mobanet/potsdam_dinov2_g_fsdp.py GPUS

Each GPU keeps a part of the 4.5 GB of frozen weights and gathers them block by block (FSDP): for
GPUs that cannot hold them. docs/distributed.md says what that costs. Its checkpoints are those of
potsdam_dinov2_g.py. It has not been trained on the real tiles, nor on GPUs, by us yet.
"""
_base_ = ['./potsdam_dinov2_g.py']
runner_type = 'FlexibleRunner'
strategy = dict(
    type='ShardedEncoderStrategy',
    model_wrapper=dict(type='ShardedEncoder'),
    state_dict_cfg=dict(
        state_dict_type='FULL_STATE_DICT',
        state_dict_config=dict(type='FullStateDictConfig', rank0_only=True),
        optim_state_dict_config=dict(type='FullOptimStateDictConfig', rank0_only=True)))
norm_cfg = dict(type='SyncBN', requires_grad=True)  # this strategy leaves sync_bn undone
model = dict(
    decode_head=dict(norm_cfg=norm_cfg),
    auxiliary_head=[
        dict(_base_.aux_head, norm_cfg=norm_cfg, in_index=in_index)
        for in_index in (4, 5)  # rgb, aux
    ])
# all weights are flat here: those without decay are known by their names alone
optim_wrapper = dict(
    paramwise_cfg=dict(
        flat_decay_mult=None,
        custom_keys={'.gamma': dict(decay_mult=0.0), '.beta': dict(decay_mult=0.0)}))
# in the place of what would read one GPU's part as the whole: reports, and adapters' checkpoints
nothing = dict(_delete_=True, type='EmptyCacheHook')
default_hooks = dict(parameters=nothing, adapters=nothing, balance=nothing)
