"""Stock MMSeg on the optical image alone: DeepLabV3+, ResNet-50, ISPRS Potsdam RGB.

python tools/train.py configs/deeplabv3plus/deeplabv3plus_r50_potsdam_rgb.py

height=None reads no DSM; aux_path=None in data_prefix does so for rasters of your own.
type='TiledEncoderDecoder' tests whole tiles many times faster. Not trained on the real ones by us yet.
"""
_base_ = [
    'mmseg::_base_/models/deeplabv3plus_r50-d8.py', '../_base_/datasets/isprs_potsdam.py',
    '../_base_/schedules/50e_1000it.py', '../_base_/default_runtime.py'
]
norm_cfg = dict(type='BN', requires_grad=True)  # SyncBN for several GPUs with few samples each
crop_size = (512, 512)
model = dict(
    data_preprocessor=dict(bgr_to_rgb=False, size=crop_size),  # the rasters are R G B already
    backbone=dict(norm_cfg=norm_cfg),
    decode_head=dict(
        num_classes=_base_.num_classes, norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
    auxiliary_head=dict(
        num_classes=_base_.num_classes, norm_cfg=norm_cfg, loss_decode=dict(avg_non_ignore=True)),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(384, 384)))
train_dataloader = dict(sampler=dict(window_size=crop_size), dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
