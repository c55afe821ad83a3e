import runpy

import pytest
import torch
from scenes.paths import ROOT
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mobanet_mmseg.engine.complexity import count_parameters
from mobanet_mmseg.models.dgfm import Average

CONFIGS = ROOT / 'configs' / 'mobanet'
ROWS = ('base', 'cpia', 'cpia-dgfm')


def table_iv_row(row: str, full: str) -> Config:
    """The config of a row of Table IV, on top of the full model that is named."""
    config = Config.fromfile(CONFIGS / f'{full}.py')
    if row != 'full':
        overrides = runpy.run_path(str(CONFIGS / f'potsdam_dinov2_b_{row}.py'))
        config.merge_from_dict(dict(model=overrides['model']))
    return config


def build(config: Config) -> torch.nn.Module:
    """Build a config's model, without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(config.model)


def toy(path) -> Config:
    """A config's model around a ViT of 4 blocks and 16 channels, without weight file."""
    config = Config.fromfile(path)
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    backbone, neck = config.model.backbone, config.model.neck
    backbone.encoder.update(arch=arch, img_size=70)
    del backbone.encoder['init_cfg']
    backbone.update(out_indices=(0, 1, 2, 3), allow_random_encoder=True)
    neck.in_channels = 16
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
    parts = count_parameters(build(table_iv_row(row, full)))
    trainable = sum(count.trainable for count in parts.values())
    assert trainable == exact
    assert f'{trainable / 1e6:.2f}' == printed


@pytest.mark.parametrize('row', ROWS)
def test_an_ablation_differs_from_the_full_model_by_what_it_leaves_out(row):
    config = Config.fromfile(CONFIGS / f'potsdam_dinov2_b_{row}.py')
    assert config.model == table_iv_row(row, 'potsdam_dinov2_b').model
    full = Config.fromfile(CONFIGS / 'potsdam_dinov2_b.py')
    assert {key for key in full if full[key] != config[key]} == {'model'}  # one recipe for all
    model = build(config)
    assert (model.backbone.cpia is None) == (row == 'base')
    assert isinstance(model.neck.fusions[0], Average) == (row != 'cpia-dgfm')
    assert isinstance(model.neck.norms[0], torch.nn.Identity) == (row != 'cpia-dgfm')
    assert model.data_preprocessor.mcrm is None
    assert not model.with_auxiliary_head


@pytest.mark.parametrize('name', [*ROWS, 'released'])
def test_config_trains_two_steps_and_loads_what_it_wrote(name, tmp_path):
    config = toy(CONFIGS / f'potsdam_dinov2_b_{name}.py')
    model = MODELS.build(config.model)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optim_wrapper = build_optim_wrapper(model, config.optim_wrapper)
    for _ in range(2):
        images = [torch.rand(4, 28, 42) for _ in range(4)]
        samples = [
            SegDataSample(
                metainfo=dict(img_shape=(28, 42), ori_shape=(28, 42)),
                gt_sem_seg=PixelData(data=torch.randint(6, (1, 28, 42))),
            )
            for _ in images
        ]
        losses = model.train_step(dict(inputs=images, data_samples=samples), optim_wrapper)
        assert torch.isfinite(losses['loss'])
    moved = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    trainable = {key for key, value in model.named_parameters() if value.requires_grad}
    assert {key for key, _ in model.named_parameters()} & moved == trainable
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    MODELS.build(config.model).load_state_dict(
        torch.load(tmp_path / 'weights.pth', weights_only=True)
    )
