"""The demo's model and schedule, given the optical image alone: the height is 0 everywhere."""
_base_ = ['./demo.py']
model = dict(data_preprocessor=dict(modality='rgb'))
