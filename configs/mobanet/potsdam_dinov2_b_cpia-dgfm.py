"""Table IV's Base + CPIA + DGFM; 5.00 M parameters train.

The paper reports OA 91.73, mF1 93.02, mIoU 87.15. What is left to the full model,
potsdam_dinov2_b.py, is MCRM with its auxiliary heads.
"""
_base_ = ['./potsdam_dinov2_b.py']
model = dict(data_preprocessor=dict(mcrm=None), auxiliary_head=None)
