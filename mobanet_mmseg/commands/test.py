"""The command of testing."""

import argparse

from mmengine.config import Config

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.datasets.wrappers import settings_of_parts
from mobanet_mmseg.engine.agreement import check_agreement
from mobanet_mmseg.engine.launch import load_config
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.models.tiled import SymmetryTTAModel, augment, segmentor_of


@ending_in_one_sentence()
def test(args: argparse.Namespace) -> None:
    """Measure a checkpoint on the test tiles.

    Args:
        args: What tools/test.py was told.
    """
    config = load_config(args)
    config.load_from = args.checkpoint
    config.resume = False
    if args.show_dir is not None:
        drawing = config.default_hooks.get('visualization') or {}
        if drawing.get('type') != 'MultimodalVisualizationHook':  # MMSeg's draws no raster
            drawing = dict(type='MultimodalVisualizationHook')
        config.default_hooks['visualization'] = {**drawing, 'draw': True, 'out_dir': args.show_dir}
    hooks = [dict(type='UnlabelledTestHook')]
    if args.out is not None:
        hooks.append(dict(type='SavePredictionHook', out_dir=args.out))
    config.custom_hooks = [*config.get('custom_hooks', []), *hooks]
    check_agreement(config, ('test',))
    _build_runner(args, config).test()


def _build_runner(args: argparse.Namespace, config: Config) -> SafeRunner:
    """Build the runner, whose segmentor sees and averages what the arguments say."""
    views = args.tta == 'config' and _use_views(config)
    runner = SafeRunner.from_cfg(config)
    if args.modality is not None:
        channels = modality_channels_of(runner.test_loop.dataloader.dataset)
        select_modality(runner.model, args.modality, channels)
    if args.tta is not None and not views:
        augment(segmentor_of(runner.model), 'd4' if args.tta == 'config' else args.tta)
    return runner


def _use_views(config: Config) -> bool:
    """Test the views that the config's TestTimeAug makes, if it has one; says whether it has."""
    tta_model = config.get('tta_model') or dict(type='SegTTAModel')
    if tta_model['type'] == 'SymmetryTTAModel':
        SymmetryTTAModel()  # says what to write in its place
    pipeline = config.get('tta_pipeline') or ()
    if not any(step['type'] == 'TestTimeAug' for step in pipeline):
        return False
    for dataset in settings_of_parts(config.test_dataloader.dataset):
        dataset['pipeline'] = pipeline
    # what MMEngine gives to a model that has none; to the views it would give it in all cases
    preprocessor = config.pop('data_preprocessor', None)
    if preprocessor is not None:
        config.model.setdefault('data_preprocessor', preprocessor)
    config.model = dict(tta_model, module=config.model)
    return True
