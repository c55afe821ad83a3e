"""MoBaNet, DINOv2 ViT-B/14, ISPRS Potsdam RGB + DSM, that lives without either modality.

python tools/train.py configs/mobanet/potsdam_dinov2_b_anymodality.py

The paper's recipe, but for the masks: beside the paper's rectangles on a quarter of each batch,
whole_ratio of it loses one modality wholly, each as often. A tile without a height is trained on,
tested and predicted; where the height has no data, its channel is its mean, as where it is masked.
docs/any_modality.md says what to expect. This configuration has not been trained on the real tiles
by us yet.
"""
_base_ = ['./potsdam_dinov2_b.py']
aux_mean = _base_.model.data_preprocessor.mean[3]
model = dict(data_preprocessor=dict(mcrm=dict(whole_ratio=0.25)))
absent = dict(missing_aux='zeros', aux_fill=aux_mean)
train_dataloader = dict(dataset=absent)
val_dataloader = dict(dataset=absent)
test_dataloader = val_dataloader
