"""CMFNet, ISPRS Potsdam RGB + normalised DSM, its own recipe and split (SSRS).

python tools/train.py configs/cmfnet/cmfnet_potsdam_published.py

SGD for 100 epochs in batches of 10, images / 255, test windows every 128 pixels. The published
code halves the learning rate of no layer although it prepares to. Its milestones beyond epoch 50
are not known: those of the 50 epochs stay. Not trained on the real tiles by us yet.
"""
_base_ = [
    '../_base_/models/cmfnet.py', '../_base_/datasets/isprs_potsdam_ssrs.py',
    '../_base_/schedules/ssrs.py', '../_base_/default_runtime.py'
]
model = dict(
    data_preprocessor=dict(mean=[0.0] * 4, std=[255.0] * 3 + [1.0]),
    test_cfg=dict(stride=(128, 128)))
train_cfg = dict(max_epochs=100)
