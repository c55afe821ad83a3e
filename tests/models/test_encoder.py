from copy import deepcopy

import pytest
import torch
from scenes.encoders import random_encoder, tiny_dinov3, tiny_sam
from scenes.models import tiny_vit

from mobanet_mmseg.models.frozen_streams import build_encoder


def load(config, file):
    """Encoder of a config with the weights of a file."""
    encoder = build_encoder({**config, 'init_cfg': dict(type='Pretrained', checkpoint=str(file))})
    encoder.init_weights()
    return encoder


def save(config, file):
    torch.save(random_encoder(config).vit.state_dict(), file)
    return file


def test_weights_count_as_given_only_when_every_tensor_came():
    source, target = (build_encoder(tiny_vit()) for _ in range(2))
    state = source.state_dict()
    assert not target.weights_given
    target.load_state_dict({k: v for k, v in state.items() if 'layers.2' not in k}, strict=False)
    assert not target.weights_given
    target.load_state_dict(state)
    assert target.weights_given


@pytest.mark.parametrize('prefix', ['', 'backbone.'])
def test_configured_weights_are_loaded_with_the_prefix_named_or_found(tmp_path, prefix):
    vit = random_encoder(tiny_vit()).vit
    state = {f'backbone.{name}': value for name, value in vit.state_dict().items()}
    torch.save({'state_dict': {**state, 'head.fc.weight': torch.ones(2)}}, tmp_path / 'vit.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'), prefix=prefix)
    encoder = build_encoder(tiny_vit(init_cfg=pretrained))
    encoder.init_weights()
    assert encoder.weights_given
    for name, value in vit.state_dict().items():
        assert torch.equal(encoder.vit.state_dict()[name], value)


@pytest.mark.parametrize(
    ('given', 'wanted', 'sentence'),
    [
        (tiny_sam(), tiny_vit(), 'a SAM encoder of 4 blocks.* is a DINOv2 of 4 blocks'),
        (tiny_vit(), tiny_sam(), 'a DINOv2 of .* is a SAM encoder of 4 blocks, 16 channels'),
        (tiny_vit(num_registers=4), tiny_vit(), 'of 14 and 4 registers, but .*patches of 14: give'),
        (tiny_vit(patch_size=7), tiny_vit(), 'patches of 7, but .* patches of 14'),
        (tiny_vit(layer_scale_init_value=0.0), tiny_vit(), 'a ViT without layer scale of 4'),
        (
            tiny_vit(),
            tiny_dinov3(),
            'a DINOv2 .* is a DINOv3 of 4 .* of 16 and 2 registers',
        ),
        (tiny_dinov3(), tiny_vit(), 'a DINOv3 of .* is a DINOv2 of 4 blocks'),
        (
            tiny_vit(arch=dict(tiny_vit()['arch'], embed_dims=24, num_layers=6)),
            tiny_vit(),
            'a DINOv2 of 6 blocks, 24 channels.* 4 blocks, 16 channels',
        ),
    ],
)
def test_file_of_another_encoder_is_refused_in_a_sentence(tmp_path, given, wanted, sentence):
    file = save(given, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=rf'other\.pth .*{sentence}'):
        load(wanted, file)


def test_incomplete_file_is_refused(tmp_path):
    state = random_encoder(tiny_vit()).vit.state_dict()
    del state['layers.2.ln1.weight']
    state['pos_embed'] = state['pos_embed'][:, :-1]
    torch.save({**state, 'extra': torch.ones(1)}, tmp_path / 'vit.pth')
    with pytest.raises(
        ValueError,
        match=r'1 missing: layers\.2\.ln1\.weight; 1 left over: extra; '
        r'1 of another shape: pos_embed \(1, 25, 16\) for \(1, 26, 16\)',
    ):
        load(tiny_vit(), tmp_path / 'vit.pth')


def test_refused_file_changes_nothing(tmp_path):
    file = save(tiny_vit(num_registers=4), tmp_path / 'other.pth')
    encoder = build_encoder(tiny_vit(init_cfg=dict(type='Pretrained', checkpoint=str(file))))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(ValueError, match='4 registers'):
        encoder.init_weights()
    assert not encoder.weights_given
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


def test_config_stays_as_it_is():
    config = tiny_vit(num_registers=4, init_cfg=dict(type='Pretrained', checkpoint='none.pth'))
    before = deepcopy(config)
    build_encoder(config)
    assert config == before


def test_other_ways_of_initialising_are_refused():
    with pytest.raises(ValueError, match="type 'Normal'"):
        build_encoder(tiny_vit(init_cfg=dict(type='Normal')))
