"""Tests of data that have no labels."""

import logging

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mobanet_mmseg.datasets.wrappers import parts


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
    """Say whether the test set of a runner has labels; one of another kind than MMEngine's has.

    Args:
        runner: With a ``test_dataloader``.

    Raises:
        ValueError: If it joins datasets with labels and some without.
    """
    labelled = {
        not isinstance(part, BaseDataset) or 'seg_map_path' in part.get_data_info(0)
        for part in parts(runner.test_dataloader.dataset)
    }
    if len(labelled) > 1:
        raise ValueError(
            'The test set joins datasets with labels (seg_map_path) and some without: give all of '
            'them labels, or test them one after the other.'
        )
    return labelled.pop()
