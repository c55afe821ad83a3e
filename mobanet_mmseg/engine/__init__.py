from mobanet_mmseg.engine import hooks, prediction_hooks, samplers

__all__ = ['hooks', 'prediction_hooks', 'samplers']
