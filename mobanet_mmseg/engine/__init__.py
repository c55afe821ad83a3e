from mobanet_mmseg.engine import (
    checkpoint_hooks,
    hooks,
    label_hooks,
    prediction_hooks,
    samplers,
    split_hooks,
)

__all__ = [
    'checkpoint_hooks',
    'hooks',
    'label_hooks',
    'prediction_hooks',
    'samplers',
    'split_hooks',
]
