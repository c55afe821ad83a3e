"""MoBaNet, DINOv2 ViT-B/14, ISPRS Potsdam RGB + DSM, as its authors released it.

python tools/train.py configs/mobanet/potsdam_dinov2_b_released.py

6,179,456 trainable parameters. Apart from potsdam_dinov2_b.py, which follows the paper's text: CPIA
without adapters (X_m <- X_m + P_m) and wider, ReLU6 in all heads, no activation on UPerHead's
laterals, no bias in the classifiers; weight decay 0.05, batches of 24, tile 7_10 left out, windows
32 pixels apart. The authors kept the checkpoint of the best mIoU on the test tiles; here the last
one counts. Their checkpoint runs after tools/model_converters/released2mobanet.py.
"""
_base_ = ['./potsdam_dinov2_b.py']
train_tiles = [tile for tile in _base_.train_tiles if tile != '7_10']
# stock defaults hold for the rest: eps 1e-5 in the norms (1e-6 in the encoder), align_corners=False
relu6 = dict(type='ReLU6')
model = dict(
    backbone=dict(cpia=dict(prompt_dims=192, adapter_dims=None)),
    decode_head=dict(type='ReleasedUPerHead', act_cfg=relu6),
    auxiliary_head=[
        dict(_base_.aux_head, type='ReleasedFCNHead', act_cfg=relu6, in_index=in_index)
        for in_index in (4, 5)  # rgb, aux
    ],
    test_cfg=dict(stride=(32, 32)))
train_dataloader = dict(
    batch_size=24,
    sampler=dict(num_samples=24 * 1000),
    dataset=dict(tiles=train_tiles))
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
