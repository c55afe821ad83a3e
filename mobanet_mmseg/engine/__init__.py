from mobanet_mmseg.engine import (
    checkpoint_hooks,
    complexity,
    finite_hook,
    label_hooks,
    lookahead,
    prediction_hooks,
    pretrained_stem,
    randomness_hook,
    runner,
    samplers,
    saving_hooks,
    split_hooks,
)

__all__ = [
    'checkpoint_hooks',
    'complexity',
    'finite_hook',
    'label_hooks',
    'lookahead',
    'prediction_hooks',
    'pretrained_stem',
    'randomness_hook',
    'runner',
    'samplers',
    'saving_hooks',
    'split_hooks',
]
