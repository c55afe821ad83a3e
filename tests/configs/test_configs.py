"""Every config: its model at full size, a toy of it in training, its checkpoint loaded again."""

import runpy
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import save_checkpoint
from mmengine.runner.checkpoint import get_state_dict, weights_to_cpu
from mmseg.registry import DATASETS, MODELS
from scenes.models import samples
from scenes.paths import ROOT
from scenes.toy import toy

from mobanet_mmseg.engine.complexity import (
    add_counts,
    build_without_memory,
    count_parameters,
)
from mobanet_mmseg.inference.trained import load_segmentor
from mobanet_mmseg.models.dgfm import Average
from mobanet_mmseg.models.dinov3 import NORMALISATIONS, images_of

NO_MODELS = ('_base_', 'studies')
CONFIGS = sorted(path for path in ROOT.glob('configs/*/*.py') if path.parent.name not in NO_MODELS)
FOLDERS = sorted({path.parent for path in CONFIGS})
MIXING = [path for path in CONFIGS if path.parent.name == 'mixing']
every_config = pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)

# trainable, all (millions)
COUNTS = {
    'potsdam_dinov2_s': (3_253_738, 25.3),
    'potsdam_dinov2_b': (6_182_530, 92.8),
    'potsdam_dinov2_b_anymodality': (6_182_530, 92.8),
    'potsdam_dinov2_b_reg4': (6_182_530, 92.8),
    'potsdam_dinov2_l': (8_989_086, 313.4),
    'potsdam_dinov2_l_reg4': (8_989_086, 313.4),
    'potsdam_dinov2_g': (16_625_266, 1153.1),
    'potsdam_sam_b': (6_320_770, 95.2),
    'potsdam_sam_l': (9_173_406, 316.6),
    'potsdam_sam_h': (12_689_318, 648.8),
    'potsdam_dinov3_s': (3_322_858, 24.9),
    'potsdam_dinov3_splus': (3_322_858, 32.0),
    'potsdam_dinov3_b': (6_320_770, 92.0),
    'potsdam_dinov3_l': (9_173_406, 312.3),
    'potsdam_dinov3_l_sat': (9_173_406, 312.3),
    'potsdam_dinov3_hplus': (12_689_318, 853.3),
}
trained_toys: set[str] = set()


@cache
def read(path: Path) -> Config:
    """Read a config once; a test that changes it takes a copy."""
    return Config.fromfile(path)


@cache
def build(path: Path) -> torch.nn.Module:
    """Build a config's model at full size, without memory for its weights."""
    return build_without_memory(read(path))


def mobanet(name: str) -> Path:
    return ROOT / 'configs' / 'mobanet' / f'{name}.py'


def batch(config: Config, size: tuple[int, int] = (37, 53)) -> dict:
    """Four random samples as a config's data loader collates them."""
    channels = len(config.model.data_preprocessor.mean)
    classes = config.model.decode_head.num_classes
    return dict(
        inputs=[torch.rand(channels, *size) for _ in range(4)],
        data_samples=samples(torch.randint(0, classes, (4, *size))),
    )


@every_config
def test_config_builds_at_full_size_with_what_training_and_testing_need(path):
    config, model = read(path), build(path)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        dataset = DATASETS.build(dict(config[name].dataset, lazy_init=True))
        assert len(dataset.metainfo['classes']) == model.decode_head.num_classes
        bands = (len(dataset.img_bands), len(dataset.aux_bands))
        assert len(config.model.data_preprocessor.mean) == sum(bands)
        assert config.model.data_preprocessor.get('modality_channels', bands) == bands
        assert config.model.backbone.get('modality_channels', bands) == bands
    loader = config.train_dataloader
    cropped = [step.crop_size for step in loader.dataset.pipeline if step.type == 'RandomCrop']
    assert (cropped or [loader.sampler.window_size]) == [config.crop_size]
    assert config.custom_imports['imports'] == ['mobanet_mmseg']
    assert {'optim_wrapper', 'param_scheduler', 'train_cfg'} <= set(config)


@every_config
def test_two_steps_move_what_is_trainable_and_the_checkpoint_gives_the_same_prediction(
    path, tmp_path
):
    config = read(path).copy()
    config.model = toy(config)
    described = f'{config.model.to_dict()} {config.optim_wrapper.to_dict()}'
    if described in trained_toys:  # that of another config to the last setting
        return
    trained_toys.add(described)
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
    predictions = []
    for segmentor in (model, loaded):
        torch.manual_seed(0)  # a head may draw as it predicts
        with torch.no_grad():
            predictions += segmentor.test_step(data)
    expected, given = predictions[0], predictions[len(data['inputs'])]
    assert given.seg_logits.data.shape[1:] == (37, 53)
    assert torch.equal(given.seg_logits.data, expected.seg_logits.data)


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda folder: folder.name)
def test_a_folders_readme_and_metafile_name_each_of_its_configs(folder):
    readme = (folder / 'README.md').read_text()
    metafile = yaml.safe_load((folder / 'metafile.yml').read_text())
    configs = {path.name for path in folder.glob('*.py')}
    assert not {name for name in configs if f'({name})' not in readme}
    models = {Path(model['Config']).name: model for model in metafile['Models']}
    assert set(models) == {name for name in configs if not name.startswith('demo')}
    for name, model in models.items():
        assert model['Name'] == Path(name).stem and (ROOT / model['Config']).is_file()
        assert 'Results' not in model and 'Weights' not in model  # nothing is trained here
        count = add_counts(count_parameters(build(folder / name)))
        assert model['Metadata']['Parameters'] == count.total
        assert model['Metadata']['Trainable Parameters'] == count.trainable


@pytest.mark.parametrize('path', MIXING, ids=lambda path: path.stem)
def test_mixed_model_says_the_command_that_trains_it_and_the_docs_show_it(path):
    assert f'\npython tools/train.py configs/mixing/{path.name}\n' in path.read_text()
    assert f'\nmobanet train mixing/{path.name}\n' in (ROOT / 'docs' / 'mixing.md').read_text()


@pytest.mark.parametrize('name', ['potsdam_dinov2_b', 'vaihingen_dinov2_b'])
def test_dinov2_b_trains_the_papers_6_18_million_parameters(name):
    parts = count_parameters(build(mobanet(name)))
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


def stage_cost(channels: int, prompt_dims: int, adapter_dims: int = 0) -> int:
    """Parameters of one CPIA by its formula."""
    c, r, h = channels, prompt_dims, adapter_dims
    generator = 2 * (c * r + r) + (2 * r * r + r) + (r * c + c) + 2 * 2 * c
    return generator + (2 * (2 * (c * h + h) + h * c + c) if h else 0)


@pytest.mark.parametrize(
    ('name', 'cpia', 'printed'),
    [
        ('potsdam_dinov2_b_lora', 'potsdam_dinov2_b_cpia', '3.97'),
        ('potsdam_dinov2_b_lora-dgfm-mcrm', 'potsdam_dinov2_b', '6.16'),
        ('potsdam_dinov3_b_lora-dgfm-mcrm', 'potsdam_dinov3_b', '6.30'),
    ],
)
def test_lora_takes_cpias_place_at_the_highest_rank_within_its_budget(name, cpia, printed):
    parts, others = (count_parameters(build(mobanet(each))) for each in (name, cpia))
    updates, adapters = parts.pop('backbone.adapter'), others.pop('backbone.cpia')
    a_rank = 12 * 2 * 2 * (768 + 768)  # blocks, streams, queries and values
    assert updates.trainable == 28 * a_rank
    assert updates.trainable <= adapters.trainable < updates.trainable + a_rank
    assert f'{(add_counts(parts).trainable + updates.trainable) / 1e6:.2f}' == printed
    assert parts == others  # all else is the same


@pytest.mark.parametrize('name', COUNTS)
def test_an_encoders_config_trains_what_the_papers_budget_gives(name):
    config = read(mobanet(name)).model
    parts = count_parameters(build(mobanet(name)))
    assert sum(part.trainable for part in parts.values()) == COUNTS[name][0]
    assert round(sum(part.total for part in parts.values()) / 1e6, 1) == COUNTS[name][1]
    assert parts['backbone.encoder'].trainable == 0
    width, cpia = config.neck.in_channels, config.backbone.cpia
    assert cpia.adapter_dims == width // 16
    ours, paper = stage_cost(width, **cpia), stage_cost(width, width // 4)
    assert parts['backbone.cpia'].trainable == 4 * ours
    assert abs(ours - paper) < 0.005 * paper


@pytest.mark.parametrize('name', COUNTS)
def test_config_agrees_with_its_encoder(name):
    config, backbone = read(mobanet(name)).model, build(mobanet(name)).backbone
    quarter = backbone.encoder.num_blocks // 4
    taps = [quarter * stage - 1 for stage in (1, 2, 3, 4)]
    if '_dinov3_l' in name:
        taps[0] = 4  # where its publisher's own segmentation taps it
    assert backbone.out_indices == tuple(taps)
    assert config.data_preprocessor.size_divisor == backbone.patch_size
    assert config.neck.in_channels == backbone.encoder.embed_dims
    sam = '_sam_' in name
    assert (config.data_preprocessor.std[:3] == [255.0] * 3) == sam
    assert (config.data_preprocessor.mean[:3] == [0.0] * 3) == sam
    if '_dinov3_' in name:
        return
    # l in the file's name and in the config's: a copied address would load another encoder
    size = {'s': 'small', 'b': 'base', 'l': 'large', 'g': 'giant', 'h': 'huge'}[name.split('_')[2]]
    address = config.backbone.encoder.init_cfg.checkpoint
    assert f'vit-{size}-p' in address or f'dinov2_vit{size[0]}14_reg4' in address


@pytest.mark.parametrize('name', [name for name in COUNTS if '_dinov3_' in name])
def test_dinov3s_config_names_a_file_of_its_size_and_the_mean_of_that_files_images(name):
    config, (_, _, size, *sat) = read(mobanet(name)).model, name.split('_')
    images = 'SAT-493M' if sat else 'LVD-1689M'
    source = config.backbone.encoder.init_cfg.checkpoint
    assert f'/dinov3_vit{size[0]}16{size[1:]}_pretrain_' in source  # splus: s16plus
    assert images_of(source) == images
    mean, std = NORMALISATIONS[images]
    assert config.data_preprocessor.mean == [*mean, 0.0]
    assert config.data_preprocessor.std == [*std, 1.0]


def table_iv_row(row: str, full: str) -> Config:
    """The config of a row of Table IV, on top of the full model that is named."""
    config = read(mobanet(full)).copy()
    if row != 'full':
        overrides = runpy.run_path(str(mobanet(f'potsdam_dinov2_b_{row}')))
        config.merge_from_dict(dict(model=overrides['model']))
    return config


@pytest.mark.parametrize(
    ('full', 'row', 'exact', 'printed'),
    [
        # text: 2,085,104 for CPIA; stock classifiers have a bias of 6 each
        ('potsdam_dinov2_b', 'base', 1_908_358, '1.91'),
        ('potsdam_dinov2_b', 'cpia', 3_993_462, '3.99'),
        ('potsdam_dinov2_b', 'cpia-dgfm', 4_998_774, '5.00'),
        ('potsdam_dinov2_b', 'full', 6_182_530, '6.18'),
        # released: 2,082,048 for CPIA; classifiers without bias
        ('potsdam_dinov2_b_released', 'base', 1_908_352, '1.91'),
        ('potsdam_dinov2_b_released', 'cpia', 3_990_400, '3.99'),
        ('potsdam_dinov2_b_released', 'cpia-dgfm', 4_995_712, '5.00'),
        ('potsdam_dinov2_b_released', 'full', 6_179_456, '6.18'),
    ],
)
def test_rows_of_table_iv_train_as_many_parameters_as_the_paper_counts(full, row, exact, printed):
    parts = count_parameters(build_without_memory(table_iv_row(row, full)))
    trainable = sum(count.trainable for count in parts.values())
    assert trainable == exact
    assert f'{trainable / 1e6:.2f}' == printed


@pytest.mark.parametrize('row', ['base', 'cpia', 'cpia-dgfm'])
def test_an_ablation_differs_from_the_full_model_by_what_it_leaves_out(row):
    config, full = read(mobanet(f'potsdam_dinov2_b_{row}')), read(mobanet('potsdam_dinov2_b'))
    assert config.model == table_iv_row(row, 'potsdam_dinov2_b').model
    assert {key for key in full if full[key] != config[key]} == {'model'}  # one recipe for all
    model = build(mobanet(f'potsdam_dinov2_b_{row}'))
    assert (model.backbone.cpia is None) == (row == 'base')
    assert isinstance(model.neck.fusions[0], Average) == (row != 'cpia-dgfm')
    assert isinstance(model.neck.norms[0], torch.nn.Identity) == (row != 'cpia-dgfm')
    assert model.data_preprocessor.mcrm is None
    assert not model.with_auxiliary_head


def test_potsdam_follows_the_papers_recipe():
    config = read(mobanet('potsdam_dinov2_b'))
    loader, wrapper = config.train_dataloader, config.optim_wrapper
    splits = loader.dataset, config.test_dataloader.dataset
    tiles = [len(DATASETS.build(dict(each, lazy_init=True)).tiles) for each in splits]
    assert tiles == [24, 14]
    assert loader.batch_size == 12
    assert loader.sampler.num_samples == 12 * 1000
    assert config.train_cfg.max_epochs == 50
    assert (wrapper.optimizer.type, wrapper.optimizer.weight_decay) == ('AdamW', 0.01)
    assert [scheduler.end for scheduler in config.param_scheduler] == [5, 50]
    assert config.randomness.seed == 42
    assert {head.loss_decode.loss_weight for head in config.model.auxiliary_head} == {0.01}
    assert config.model.data_preprocessor.mcrm.ratio == 0.25


def test_no_weight_decay_on_one_dimensional_parameters():
    config = read(mobanet('demo'))
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
