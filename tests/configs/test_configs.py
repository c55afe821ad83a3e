from pathlib import Path

import pytest
import torch
from scenes.paths import ROOT
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import save_checkpoint
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from scenes.toy import toy

from mobanet_mmseg.engine.complexity import build_without_memory
from mobanet_mmseg.engine.complexity import count_parameters
from mobanet_mmseg.inference.trained import load_segmentor

MIXING = sorted((ROOT / 'configs' / 'mixing').glob('*.py'))
CONFIGS = [*sorted((ROOT / 'configs' / 'mobanet').glob('*.py')), *MIXING]
every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)


def build(path: Path) -> torch.nn.Module:
    """Build a config's model at full size, without memory for its weights."""
    return build_without_memory(Config.fromfile(path))


def batch(config: Config, size: tuple[int, int] = (37, 53)) -> dict:
    """Four random samples as a config's data loader collates them."""
    channels = len(config.model.data_preprocessor.mean)
    classes = config.model.decode_head.num_classes
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size)
    return dict(
        inputs=[torch.rand(channels, *size) for _ in range(4)],
        data_samples=[
            SegDataSample(
                metainfo=meta, gt_sem_seg=PixelData(data=torch.randint(0, classes, (1, *size)))
            )
            for _ in range(4)
        ],
    )


@every_config
def test_config_builds_at_full_size_with_what_training_and_testing_need(path):
    config = Config.fromfile(path)
    model = build(path)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = DATASETS.build(dict(config[name].dataset, lazy_init=True))
        assert len(dataset.metainfo['classes']) == model.decode_head.num_classes
        bands = (len(dataset.img_bands), len(dataset.aux_bands))
        assert len(config.model.data_preprocessor.mean) == sum(bands)
        assert config.default_hooks.visualization.get('modality_channels', (3, 1)) == bands
    assert config.train_dataloader.sampler.window_size == config.crop_size
    assert config.custom_imports['imports'] == ['mobanet_mmseg']
    assert {'optim_wrapper', 'param_scheduler', 'train_cfg'} <= set(
        config
    )


@pytest.mark.parametrize('path', MIXING, ids=lambda path: path.stem)
def test_mixed_model_says_the_command_that_trains_it_and_the_docs_show_it(path):
    command = f'\npython tools/train.py configs/mixing/{path.name}\n'
    assert command in path.read_text()
    assert command in (ROOT / 'docs' / 'mixing.md').read_text()


@every_config
def test_two_steps_move_what_is_trainable_and_the_checkpoint_gives_the_same_prediction(
    path, tmp_path
):
    config = Config.fromfile(path)
    config.model = toy(config)
    if config.model.data_preprocessor.get('size') is not None:
        config.model.data_preprocessor.size = (48, 64)
    model = MODELS.build(config.model).train()
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    before = {name: value.clone() for name, value in model.named_parameters()}
    trainable = {name for name, value in model.named_parameters() if value.requires_grad}
    reached = set()
    for name in trainable:
        model.get_parameter(name).register_post_accumulate_grad_hook(
            lambda parameter, name=name: reached.add(name)
        )
    for _ in range(2):
        losses = model.train_step(batch(config), wrapper)
        assert all(value.isfinite() for value in losses.values())
    assert trainable == reached  # DDP stops at a parameter that gets no gradient
    moved = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    assert moved == trainable

    meta = dict(dataset_meta=dict(classes=['a'], palette=[[0, 0, 0]]))
    weights = weights_to_cpu(get_state_dict(model))
    save_checkpoint(dict(meta=meta, state_dict=weights), str(tmp_path / 'model.pth'))
    loaded = load_segmentor(config, tmp_path / 'model.pth')
    model.eval()
    data = batch(config)
    with torch.no_grad():
        expected, given = (segmentor.test_step(data)[0] for segmentor in (model, loaded))
    assert given.seg_logits.data.shape[1:] == (37, 53)
    assert torch.equal(given.seg_logits.data, expected.seg_logits.data)


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
