"""Hooks around training."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mobanet_mmseg.engine.parameters import add_counts, count_parameters, parameter_table


@HOOKS.register_module()
class TrainableParametersHook(Hook):
    """Logs, before training, how many parameters of each part train and how many are frozen."""

    def before_train(self, runner: Runner) -> None:
        """Log the table."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        parts = count_parameters(model)
        everything = add_counts(parts)
        runner.logger.info(
            f'\n{parameter_table(parts)}\nTrainable parameters: {everything.trainable:,} '
            f'({everything.trainable / 1e6:.2f} M of {everything.total / 1e6:.1f} M)'
        )
