"""PSPNet on ResNet-101 by MMSegmentation's recipe for ISPRS Vaihingen: SGD, poly, 80,000 iterations.

python tools/train.py configs/pspnet/pspnet_vaihingen_published.py

Batches of 16 crops of 512, as 4 GPUs with 4 each. MMSegmentation also scales its crops by 0.5 to 2
and shifts their colours; here they are windows as they are, mirrored. Its mIoU is over six classes.
"""
_base_ = './pspnet_vaihingen.py'
crop_size = (512, 512)
model = dict(test_cfg=dict(crop_size=crop_size, stride=(341, 341)))
train_dataloader = dict(
    batch_size=16, sampler=dict(num_samples=16000, window_size=crop_size))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=0.0005))
param_scheduler = [
    dict(
        type='PolyLR', power=0.9, eta_min=1e-4, begin=0, end=80, by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=80)  # of 1000 iterations
