from pathlib import Path

import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS

from mobanet_mmseg.models.parameters import count_parameters

CONFIGS = sorted((ROOT / 'configs' / 'mobanet').glob('*.py'))


def build(path: Path) -> torch.nn.Module:
    """Build a config's model at full size, without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(Config.fromfile(path).model)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_builds_at_full_size_with_what_training_and_testing_need(path):
    config = Config.fromfile(path)
    model = build(path)
    assert model.decode_head.num_classes == 6
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        DATASETS.build(dict(config[loader].dataset, lazy_init=True))
    assert config.custom_imports['imports'] == ['mobanet_mmseg']
    assert {'optim_wrapper', 'param_scheduler', 'train_cfg', 'tta_pipeline', 'tta_model'} <= set(
        config
    )


@pytest.mark.parametrize('name', ['potsdam_dinov2_b', 'vaihingen_dinov2_b'])
def test_dinov2_b_trains_the_papers_6_18_million_parameters(name):
    parts = count_parameters(build(ROOT / 'configs' / 'mobanet' / f'{name}.py'))
    assert {part: count.trainable for part, count in parts.items()} == {
        'backbone.encoder': 0,
        'backbone.aux_embed': 452_352,
        'backbone.cpia': 4 * 521_276,
        'neck.fusions': 4 * (251_328 - 1_536),
        'neck.norms': 4 * 1_536,
        'neck.projections': 786_432,
        'decode_head': 669_568 + 6,  # the stock head's classifier has a bias
        'auxiliary_head': 2 * (591_872 + 6),
    }
    trainable = sum(count.trainable for count in parts.values())
    assert trainable == 6_182_530
    assert round(sum(count.total for count in parts.values()) / 1e6, 1) == 92.8


def test_potsdam_follows_the_papers_recipe():
    config = Config.fromfile(ROOT / 'configs' / 'mobanet' / 'potsdam_dinov2_b.py')
    loader, wrapper = config.train_dataloader, config.optim_wrapper
    assert len(loader.dataset.tiles) == 24
    assert len(config.test_dataloader.dataset.tiles) == 14
    assert loader.batch_size == 12
    assert loader.sampler.num_samples == 12 * 1000
    assert config.train_cfg.max_epochs == 50
    assert (wrapper.optimizer.type, wrapper.optimizer.weight_decay) == ('AdamW', 0.01)
    assert [scheduler.end for scheduler in config.param_scheduler] == [5, 50]
    assert config.randomness.seed == 42
    assert {head.loss_decode.loss_weight for head in config.model.auxiliary_head} == {0.01}
    assert config.model.data_preprocessor.mcrm.ratio == 0.25


def test_no_weight_decay_on_one_dimensional_parameters():
    from mmengine.optim import build_optim_wrapper

    config = Config.fromfile(ROOT / 'configs' / 'mobanet' / 'demo.py')
    model = MODELS.build(config.model)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decays = {
        names[id(group['params'][0])]: (group['params'][0].ndim, group['weight_decay'])
        for group in optimizer.param_groups
        if group['params'][0].requires_grad
    }
    assert {decay for ndim, decay in decays.values() if ndim == 1} == {0.0}
    assert {decay for ndim, decay in decays.values() if ndim > 1} == {0.01}
