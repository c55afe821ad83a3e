from mobanet_mmseg.engine import (
    checkpoint_hooks,
    hooks,
    prediction_hooks,
    samplers,
    split_hooks,
    testing,
)

__all__ = ['checkpoint_hooks', 'hooks', 'prediction_hooks', 'samplers', 'split_hooks', 'testing']
