from mobanet_mmseg.engine import (
    checkpoint_hooks,
    complexity,
    label_hooks,
    prediction_hooks,
    runner,
    samplers,
    saving_hooks,
    split_hooks,
)

__all__ = [
    'checkpoint_hooks',
    'complexity',
    'label_hooks',
    'prediction_hooks',
    'runner',
    'samplers',
    'saving_hooks',
    'split_hooks',
]
