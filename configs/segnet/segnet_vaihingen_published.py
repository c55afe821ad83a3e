"""SegNet, ISPRS Vaihingen IR-R-G alone, the recipe of DeepNetsForEO.

python tools/train.py configs/segnet/segnet_vaihingen_published.py

SGD for 50 epochs in batches of 10, images / 255, test windows every 32 pixels. Its tiles are
not those of the benchmark, which are kept here; set tiles for others. Not trained on the real tiles
by us yet.
"""
_base_ = [
    '../_base_/models/segnet.py', '../_base_/datasets/isprs_vaihingen.py',
    '../_base_/schedules/ssrs.py', '../_base_/default_runtime.py'
]
model = dict(
    data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3),
    test_cfg=dict(stride=(32, 32)))
train_dataloader = dict(
    batch_size=10, sampler=dict(num_samples=10000), dataset=dict(height=None))
val_dataloader = dict(dataset=dict(height=None))
test_dataloader = val_dataloader
