"""Hooks around training."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from prettytable import PrettyTable

from mobanet_mmseg.models.parameters import count_parameters


@HOOKS.register_module()
class TrainableParametersHook(Hook):
    """Logs, before training, how many parameters of each part train and how many are frozen."""

    def before_train(self, runner: Runner) -> None:
        """Log the table."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        parts = count_parameters(model)
        table = PrettyTable(['part', 'trainable', 'frozen'], align='r')
        for name, count in parts.items():
            table.add_row([name, f'{count.trainable:,}', f'{count.frozen:,}'])
        trainable = sum(count.trainable for count in parts.values())
        total = sum(count.total for count in parts.values())
        runner.logger.info(
            f'\n{table}\nTrainable parameters: {trainable:,} ({trainable / 1e6:.2f} M of '
            f'{total / 1e6:.1f} M)'
        )
