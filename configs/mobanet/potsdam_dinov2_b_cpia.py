"""Table IV's Base + CPIA; 3.99 M parameters train.

The paper reports OA 91.43, mF1 92.57, mIoU 86.33.
"""
_base_ = ['./potsdam_dinov2_b.py']
model = dict(
    data_preprocessor=dict(mcrm=None), neck=dict(gated=False), auxiliary_head=None)
