"""CMGFNet, two ResNet-34, ISPRS Potsdam RGB + DSM, trained as its authors trained it.

python tools/train.py configs/cmgfnet/cmgfnet_potsdam_published.py

Adamax, polynomial decay of power 0.3, batches of 16, 30 epochs, flips, images and DSM to -1..1.
Theirs are images cut beforehand, resized to 256 x 256, with two classes and a binary loss; here an
epoch is 1000 batches of random windows of that size, with cross-entropy over six classes. Not
trained on the real tiles by us yet.
"""
_base_ = ['./cmgfnet_potsdam.py']
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5, 0.5], std=[127.5, 127.5, 127.5, 0.5]))
train_dataloader = dict(batch_size=16, sampler=dict(num_samples=16000))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='Adamax', lr=1e-3, weight_decay=1e-5))
# MMEngine's reaches 0 one epoch before the end, which is never come to
param_scheduler = [dict(type='PolyLR', power=0.3, eta_min=0.0, begin=0, end=31, by_epoch=True)]
train_cfg = dict(max_epochs=30)
