from mobanet_mmseg.engine import (
    checkpoint_hooks,
    complexity,
    label_hooks,
    prediction_hooks,
    samplers,
    split_hooks,
)

__all__ = [
    'checkpoint_hooks',
    'complexity',
    'label_hooks',
    'prediction_hooks',
    'samplers',
    'split_hooks',
]
