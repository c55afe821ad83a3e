"""What a test may change of its config: the modalities, the augmentation, a set without labels."""

import logging

from mmengine.config import Config
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS

from mobanet_mmseg.models.data_preprocessor import MultimodalDataPreProcessor
from mobanet_mmseg.models.tta import SymmetryTTAModel


def choose_modality(config: Config, modality: str) -> None:
    """Give the network of a config one modality, or both; the other is 0 after normalisation.

    Args:
        config: Changed in place, before its model is augmented.
        modality: ``'both'``, ``'rgb'`` or ``'aux'``.

    Raises:
        ValueError: If the model does not know of modalities.
    """
    preprocessor = config.model.get('data_preprocessor') or {}
    if not _is_of(preprocessor, MultimodalDataPreProcessor):
        raise ValueError(
            f'The data_preprocessor of {config.filename} is {preprocessor.get("type")}, which '
            'cannot leave a modality out: use MultimodalDataPreProcessor with the same mean and '
            'std, which takes what the model was trained on.'
        )
    preprocessor.modality = modality


def choose_augmentation(config: Config, augmentation: str) -> None:
    """Augment the tests of a config.

    Args:
        config: Changed in place.
        augmentation: ``'config'`` is what its ``tta_pipeline`` and ``tta_model`` say; ``'flips'``
            and ``'d4'`` are the symmetries of :class:`SymmetryTTAModel`, whatever it says.

    Raises:
        ValueError: If the config has no augmentation, or one whose halves do not fit.
    """
    if augmentation != 'config':
        config.model = {
            'type': 'SymmetryTTAModel',
            'symmetries': augmentation,
            'module': config.model,
        }
        return
    missing = [key for key in ('tta_pipeline', 'tta_model') if config.get(key) is None]
    if missing:
        raise ValueError(
            f'{config.filename} has no {" and no ".join(missing)}: give --tta d4 or --tta flips.'
        )
    gives_views = any(step.get('type') == 'TestTimeAug' for step in config.tta_pipeline)
    if not gives_views and not _is_of(config.tta_model, SymmetryTTAModel):
        raise ValueError(
            f'The tta_pipeline of {config.filename} gives the image as it is, and its tta_model, '
            f'{config.tta_model.get("type")}, does not turn it: give --tta d4 or --tta flips, set '
            "tta_model=dict(type='SymmetryTTAModel'), or put TestTimeAug into the pipeline."
        )
    config.test_dataloader.dataset.pipeline = config.tta_pipeline
    config.model = dict(config.tta_model, module=config.model)


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


def _is_of(settings: dict, parent: type) -> bool:
    """Say whether a component's settings name a class or one that is made from it."""
    kind = settings.get('type')
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, parent)
