"""Tests of data that have no labels."""

import logging

from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS


@HOOKS.register_module()
class UnlabelledTestHook(Hook):
    """Measures nothing where the test set has no labels, so that its predictions can be written."""

    def before_test(self, runner: Runner) -> None:
        """Take the metrics out of a test without labels, and say so."""
        if has_labels(runner):
            return
        runner.test_evaluator.metrics = []
        runner.logger.log(
            logging.WARNING,
            'The test set has no labels (seg_map_path): it is predicted, and nothing is measured.',
        )


def has_labels(runner: Runner) -> bool:
    """Say whether the test set of a runner has labels; one of another kind than MMEngine's has."""
    dataset = runner.test_dataloader.dataset
    kinds = BaseDataset | ConcatDataset | RepeatDataset | ClassBalancedDataset
    return not isinstance(dataset, kinds) or 'seg_map_path' in dataset.get_data_info(0)
