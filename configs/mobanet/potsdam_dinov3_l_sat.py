"""MoBaNet, DINOv3 ViT-L/16 of satellite images (SAT-493M), ISPRS Potsdam RGB + DSM.

python tools/train.py configs/mobanet/potsdam_dinov3_l_sat.py

Its images were normalised by another mean than the web's. Expects the archive's folders in
data/potsdam and the weights, under the DINOv3 License, in checkpoints. The paper has no such model;
this configuration has not been trained on the real tiles by us yet.
"""
_base_ = ['./potsdam_dinov3_l.py']
dinov3_l_sat = 'checkpoints/dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth'
model = dict(
    data_preprocessor=dict(
        mean=[109.65, 104.805, 75.48, 0.0],  # SAT-493M's for RGB; the DSM is 0..1 already
        std=[54.315, 39.78, 36.465, 1.0]),
    backbone=dict(encoder=dict(init_cfg=dict(checkpoint=dinov3_l_sat))))
