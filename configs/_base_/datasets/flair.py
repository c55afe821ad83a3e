"""FLAIR (IGN, France): R G B and height above ground of 20 cm, read as it is unpacked.

    data/flair/train-val/D041_2021/...     data/flair/flair#1-test/D012_2019/...

Patches IMG_*.tif and their masks MSK_*.tif lie anywhere below a folder named as their domain.
docs/open_data.md says where to download, and what is not verified.
"""
_base_ = './pipeline.py'
dataset_type = 'FLAIRDataset'
data_root = 'data/flair/train-val'
test_root = 'data/flair/flair#1-test'
num_classes = 13
dataset = dict(
    type=dataset_type,
    data_root=data_root,
    img_bands=(1, 2, 3),  # (4, 1, 2): infrared, red, green
    aux_bands=(5, ),
    aux_range=(0.0, 255.0))  # steps of 20 cm above ground: 1 is 51 m
train_dataloader = dict(dataset=dict(dataset, domains='train'))
val_dataloader = dict(num_workers=4, dataset=dict(dataset, domains='val'))
test_dataloader = dict(
    num_workers=4, dataset=dict(dataset, data_root=test_root, domains='test'))
