"""The models of other encoders: their sizes at full size, their training at toy size."""

import pytest
import torch
from scenes.paths import ROOT
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mobanet_mmseg.engine.complexity import count_parameters

BASES = ROOT / 'configs' / '_base_' / 'models'
# trainable, all (millions)
COUNTS = {
    'dinov2_s': (3_253_738, 25.3),
    'dinov2_b': (6_182_530, 92.8),
    'dinov2_b_reg4': (6_182_530, 92.8),
    'dinov2_l': (8_989_086, 313.4),
    'dinov2_l_reg4': (8_989_086, 313.4),
    'dinov2_g': (16_625_266, 1153.1),
    'sam_b': (6_320_770, 95.2),
    'sam_l': (9_173_406, 316.6),
    'sam_h': (12_689_318, 648.8),
}


def stage_cost(channels, prompt_dims, adapter_dims=0):
    """Parameters of one CPIA by its formula."""
    c, r, h = channels, prompt_dims, adapter_dims
    generator = 2 * (c * r + r) + (2 * r * r + r) + (r * c + c) + 2 * 2 * c
    return generator + (2 * (2 * (c * h + h) + h * c + c) if h else 0)


@pytest.mark.parametrize('name', COUNTS)
def test_parameters_at_full_size(name):
    config = Config.fromfile(BASES / f'mobanet_{name}.py')
    with torch.device('meta'):
        parts = count_parameters(MODELS.build(config.model))
    assert sum(part.trainable for part in parts.values()) == COUNTS[name][0]
    assert round(sum(part.total for part in parts.values()) / 1e6, 1) == COUNTS[name][1]
    assert parts['backbone.encoder'].trainable == 0
    width, cpia = config.model.neck.in_channels, config.model.backbone.cpia
    assert cpia.adapter_dims == width // 16
    ours, paper = stage_cost(width, **cpia), stage_cost(width, width // 4)
    assert parts['backbone.cpia'].trainable == 4 * ours
    assert abs(ours - paper) < 0.005 * paper


@pytest.mark.parametrize('name', COUNTS)
def test_config_agrees_with_its_encoder(name):
    config = Config.fromfile(BASES / f'mobanet_{name}.py').model
    with torch.device('meta'):
        backbone = MODELS.build(config.backbone)
    quarter = backbone.encoder.num_blocks // 4
    assert backbone.out_indices == tuple(quarter * stage - 1 for stage in (1, 2, 3, 4))
    assert config.data_preprocessor.size_divisor == backbone.patch_size
    assert config.neck.in_channels == backbone.encoder.embed_dims
    sam = name.startswith('sam')
    assert (config.data_preprocessor.std[:3] == [255.0] * 3) == sam
    assert (config.data_preprocessor.mean[:3] == [0.0] * 3) == sam
    # l in the file's name and in the config's: a copied address would load another encoder
    size = {'s': 'small', 'b': 'base', 'l': 'large', 'g': 'giant', 'h': 'huge'}[name.split('_')[1]]
    address = config.backbone.encoder.init_cfg.checkpoint
    assert f'vit-{size}-p' in address or f'dinov2_vit{size[0]}14_reg4' in address


def toy(name):
    """A base's model with 4 blocks of 16 channels, of the same kind of encoder."""
    config = Config.fromfile(BASES / f'mobanet_{name}.py').model
    encoder = config.backbone.encoder
    encoder.pop('init_cfg')
    arch = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
    if encoder.arch == 'giant':
        arch.update(ffn_type='swiglu_fused')
    encoder.arch = dict(arch, global_attn_indexes=[1, 3])
    encoder.img_size = 4 * config.data_preprocessor.size_divisor
    config.backbone.update(
        allow_random_encoder=True,
        out_indices=(0, 1, 2, 3),
        cpia=dict(prompt_dims=4, adapter_dims=2),
    )
    config.neck.update(in_channels=16, out_channels=8)
    config.decode_head.update(in_channels=[8] * 4, channels=8)
    for head in config.auxiliary_head:
        head.update(in_channels=8, channels=8)
    return MODELS.build(config)


@pytest.mark.parametrize('name', ['dinov2_g', 'dinov2_b_reg4', 'sam_b'])
def test_toy_trains_two_steps_and_its_checkpoint_loads_strictly(name, tmp_path):
    model = toy(name)
    model.init_weights()
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    for _ in range(2):
        samples = [
            SegDataSample(
                gt_sem_seg=PixelData(data=torch.randint(0, 6, (1, 40, 52))),
                metainfo=dict(img_shape=(40, 52)),
            )
            for _ in range(2)
        ]
        inputs = [torch.rand(4, 40, 52) for _ in range(2)]
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=samples), training=True)
        loss, _ = model.parse_losses(model(**batch, mode='loss'))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    after = model.state_dict()
    for key in ('backbone.cpia.0.adapter_aux.up.weight', 'backbone.aux_embed.projection.weight'):
        assert not torch.equal(after[key], before[key])
    for key, value in after.items():
        if key.startswith('backbone.encoder.'):
            assert torch.equal(value, before[key])
    torch.save(after, tmp_path / 'toy.pth')
    other = toy(name)
    other.load_state_dict(torch.load(tmp_path / 'toy.pth', weights_only=True), strict=True)
    assert other.backbone.encoder.weights_given
