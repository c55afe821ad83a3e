"""FuseNet, ISPRS Potsdam RGB + DSM, the recipe of its public implementation.

python tools/train.py configs/fusenet/fusenet_potsdam_published.py

SGD of 0.005 for 100 epochs in batches of 4, the learning rate x 0.9 every 25 epochs. It was made
for indoor scenes: crop, augmentation and an epoch of 1000 iterations are MoBaNet's. The other
implementation has fusion='mean', dropout of 0.4, a learning rate of 0.001 and 400 epochs. Not
trained on the real tiles by us yet.
"""
_base_ = './fusenet_potsdam.py'
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.005, momentum=0.9, weight_decay=5e-4))
param_scheduler = [dict(type='StepLR', by_epoch=True, step_size=25, gamma=0.9)]
train_dataloader = dict(batch_size=4, sampler=dict(num_samples=4000))
train_cfg = dict(max_epochs=100)
