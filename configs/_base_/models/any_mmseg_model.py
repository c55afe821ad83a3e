"""What any model of MMSegmentation is given to work on these data; see docs/any_mmseg_model.md.

    model = dict(type='TiledEncoderDecoder',
                 data_preprocessor=dict(_base_.optical, _delete_=True),  # in place of MMSeg's
                 test_cfg=_base_.sliding, ...)

    model = dict(data_preprocessor=_base_.optical_aux,  # on top of it, early fusion:
                 backbone=dict(in_channels=4))          # the height is a fourth channel
"""
# rasters are read as R G B; heights are scaled to 0..1 where they are read
optical = dict(
    type='MultimodalDataPreProcessor',
    modality_channels=(3, 0),
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    size_divisor=32)
optical_aux = dict(
    type='MultimodalDataPreProcessor',
    modality_channels=(3, 1),
    mean=[123.675, 116.28, 103.53, 0.0],
    std=[58.395, 57.12, 57.375, 1.0],
    size_divisor=32)
one_gpu_norm = dict(type='BN', requires_grad=True)  # sync_bn synchronises it on several GPUs
sliding = dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8)
