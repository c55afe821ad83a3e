import math
from itertools import product

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from safetensors.torch import load_file, save_file
from scenes.encoders import TAPS, random_encoder, run, tiny_dinov3
from scenes.models import tiny_model, tiny_vit

from mobanet_mmseg.models import dinov3
from mobanet_mmseg.models.dinov3 import (
    NORMALISATIONS,
    AxialRoPE,
    RotaryAttention,
    images_of,
    periods_of,
    rotate,
)
from mobanet_mmseg.models.encoder import Encoder
from mobanet_mmseg.models.frozen_streams import build_encoder
from mobanet_mmseg.models.multimodal_vit import MultimodalViT

ARCH = dict(embed_dims=64, num_layers=8, num_heads=2, feedforward_channels=256)
NETWORKS = {
    'dinov3_tiny': ARCH,
    'dinov3_tiny_swiglu': dict(ARCH, feedforward_channels=176, ffn_type='swiglu'),
}
KINDS = {'meta': '.pth', 'hugging_face': '_hf.safetensors', 'timm': '_timm.safetensors'}


def load(name, file) -> Encoder:
    """Encoder of a reference network with the weights of a file."""
    pretrained = dict(type='Pretrained', checkpoint=str(file))
    encoder = build_encoder(dict(type='DINOv3', arch=NETWORKS[name], init_cfg=pretrained))
    encoder.init_weights()
    return encoder.eval().requires_grad_(False)


def read(file) -> dict[str, torch.Tensor]:
    return load_file(file) if file.suffix == '.safetensors' else torch.load(file)


def write(tensors, file) -> None:
    (save_file if file.suffix == '.safetensors' else torch.save)(tensors, file)


@pytest.mark.parametrize(('name', 'kind'), product(NETWORKS, KINDS))
def test_upstream_weights_of_every_publisher_give_upstream_features(shared, name, kind):
    expected = np.load(shared(f'fixtures/{name}_expected.npz'))
    encoder = load(name, shared(f'fixtures/{name}{KINDS[kind]}'))
    for grid in ('a', 'b'):  # 6 x 6, 5 x 9
        maps = run(encoder, torch.from_numpy(expected[f'input_{grid}']), (1, 3, 5, 7))
        for tap, features in zip((1, 3, 5, 7), maps, strict=True):
            reference = torch.from_numpy(expected[f'tap{tap}_{grid}']).reshape(features.shape)
            assert (features - reference).abs().max() <= 1e-5 * reference.abs().max()


@pytest.mark.parametrize('name', NETWORKS)
def test_files_of_one_network_give_bit_equal_encoders(shared, name):
    states = [
        load(name, shared(f'fixtures/{name}{suffix}')).state_dict() for suffix in KINDS.values()
    ]
    for state, (key, value) in product(states, states[0].items()):
        assert state[key].dtype == value.dtype and state[key].numpy().tobytes() == (
            value.numpy().tobytes()
        )


def test_transformers_5_and_timms_plain_files_are_read_too(shared, tmp_path):
    name = 'dinov3_tiny'
    given = read(shared(f'fixtures/{name}_hf.safetensors'))
    newer = {f'model.{key}' if key.startswith('layer.') else key: v for key, v in given.items()}
    write(newer, tmp_path / 'model.safetensors')
    expected = load(name, shared(f'fixtures/{name}.pth')).state_dict()
    for key, value in load(name, tmp_path / 'model.safetensors').state_dict().items():
        assert torch.equal(value, expected[key])

    given = read(shared(f'fixtures/{name}_timm.safetensors'))
    plain = {k: v for k, v in given.items() if not k.endswith(('q_bias', 'v_bias'))}
    write(plain, tmp_path / 'timm.safetensors')
    encoder = load(name, tmp_path / 'timm.safetensors')
    assert not any(block.attn.qkv.bias.any() for block in encoder.vit.layers)


def test_a_files_periods_are_taken_and_its_training_parts_left_out(shared, tmp_path):
    tensors = read(shared('fixtures/dinov3_tiny.pth'))
    tensors['rope_embed.periods'] = torch.arange(1.0, 9.0).bfloat16()
    tensors['local_cls_norm.weight'] = torch.ones(64)
    write(tensors, tmp_path / 'dinov3.pth')
    encoder = load('dinov3_tiny', tmp_path / 'dinov3.pth')
    assert encoder.vit.rope_embed.periods.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert encoder.vit.rope_embed.periods.dtype == torch.float32


CHANGED = {
    'meta': ('blocks.3.mlp.fc1.weight', r'layers\.3\.ffn\.layers\.0\.0\.weight'),
    'hugging_face': ('layer.3.attention.k_proj.weight', r'layers\.3\.attn\.qkv\.weight'),
    'timm': ('blocks.3.attn.v_bias', r'layers\.3\.attn\.qkv\.bias'),
}


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('how', ['renamed', 'missing', 'of another shape'])
def test_a_file_with_one_tensor_changed_is_refused_in_a_sentence(shared, tmp_path, kind, how):
    tensors = read(shared(f'fixtures/dinov3_tiny{KINDS[kind]}'))
    name, own = CHANGED[kind]
    value = tensors.pop(name)
    if how == 'renamed':
        tensors[f'{name}s'] = value
    if how == 'of another shape':
        tensors[name] = value[..., 1:].contiguous()
    file = tmp_path / f'changed{KINDS[kind]}'
    write(tensors, file)
    told = f'1 of another shape: {own}' if how == 'of another shape' else f'1 missing: {own}'
    if how == 'of another shape' and kind == 'hugging_face':  # does not fit query and value
        told = f'1 missing: {own}; 3 left over: .*key'
    with pytest.raises(ValueError, match=rf'^The weights of .* do not fit .*{told}.*\.$'):
        load('dinov3_tiny', file)


def test_a_mask_of_other_than_0_and_1_is_refused(shared, tmp_path):
    tensors = read(shared('fixtures/dinov3_tiny.pth'))
    tensors['blocks.2.attn.qkv.bias_mask'][0] = 0.5
    write(tensors, tmp_path / 'dinov3.pth')
    with pytest.raises(ValueError, match=r'1 left over: layers\.2\.attn\.qkv\.bias_mask'):
        load('dinov3_tiny', tmp_path / 'dinov3.pth')


def test_a_bias_of_keys_without_its_mask_is_refused(shared, tmp_path):
    tensors = read(shared('fixtures/dinov3_tiny.pth'))
    del tensors['blocks.2.attn.qkv.bias_mask']
    write(tensors, tmp_path / 'dinov3.pth')
    with pytest.raises(ValueError, match=r'in 1 blocks .* \(no layers\.2\.attn\.qkv\.bias_mask\)'):
        load('dinov3_tiny', tmp_path / 'dinov3.pth')


def test_a_dinov2_is_no_dinov3_and_the_reverse(shared):
    for given, wanted, sentence in (
        ('dinov2_tiny_reg4', dict(type='DINOv3', arch=ARCH), 'a DINOv2 of .* is a DINOv3 of 8'),
        ('dinov3_tiny', tiny_vit(arch=ARCH, num_registers=4), 'a DINOv3 of .* is a DINOv2 of 8'),
    ):
        file = shared(f'fixtures/{given}.pth')
        pretrained = dict(type='Pretrained', checkpoint=str(file))
        with pytest.raises(ValueError, match=rf'{given}\.pth holds {sentence} blocks.*\.$'):
            build_encoder({**wanted, 'init_cfg': pretrained}).init_weights()


@pytest.mark.parametrize(
    ('arch', 'count'),
    [
        ('small', 21_600_768),
        ('small_plus', 28_697_088),
        ('base', 85_668_864),
        ('large', 303_153_152),
        ('huge_plus', 840_632_320),
        ('7b', 6_716_030_976),
    ],
)
def test_a_size_has_as_many_parameters_as_the_published_one(arch, count):
    with torch.device('meta'):
        encoder = build_encoder(dict(type='DINOv3', arch=arch))
        tokens = encoder.add_positions(torch.rand(2, encoder.embed_dims, 2, 3))
        maps = encoder.tap(encoder.run_blocks(tokens, 0, 1, (2, 3)), (2, 3))
    assert sum(parameter.numel() for parameter in encoder.parameters()) == count
    assert maps.shape == (2, encoder.embed_dims, 2, 3)


def test_patches_turn_by_row_and_by_column_and_special_tokens_stay():
    rope = AxialRoPE(embed_dims=16, num_heads=2)  # c = 8: periods 1 and 10
    assert rope.periods.tolist() == [1, 10]
    heads = torch.zeros(3 + 6, 8)
    heads[:, :4] = torch.tensor([1.0, 2.0, 3.0, 4.0])  # partners, 4 channels on, are 0
    turned = rotate(heads, rope((2, 3), 3))
    assert torch.equal(turned[:3], heads[:3])
    # row 1 of 2 lies at 0.5, column 2 of 3 at 2 / 3
    by_hand = [math.tau * p / period for p in (1 / 2, 2 / 3) for period in (1, 10)]
    cosines, sines = (torch.tensor(list(map(of, by_hand))) for of in (math.cos, math.sin))
    lengths = torch.tensor([1.0, 2.0, 3.0, 4.0])
    torch.testing.assert_close(turned[3 + 5], torch.cat([lengths * cosines, lengths * sines]))


def test_attention_to_patches_depends_on_how_far_apart_they_are():
    rotation = AxialRoPE(embed_dims=16, num_heads=2)((4, 6), 0)
    query, key = (rotate(torch.randn(8).expand(24, 8), rotation) for _ in range(2))
    products = (query @ key.T).unflatten(0, (4, 6)).unflatten(2, (4, 6))
    # one row down and two columns right, from wherever
    torch.testing.assert_close(products[0, 0, 1, 2], products[2, 3, 3, 5])
    assert not torch.isclose(products[0, 0, 1, 2], products[1, 2, 0, 0])


def test_periods_are_rounded_to_bfloat16():
    # 100^(1/4) = 3.1623 lies between 3.15625 and 3.171875
    assert periods_of(16).tolist() == [1, 3.15625, 10, 31.625]


def test_keys_start_without_bias():
    attention = RotaryAttention(16, 2, True, 0.5)
    assert not attention.qkv.bias[16:32].any()
    assert attention.qkv.bias[:16].all() and attention.qkv.bias[32:].all()


def test_special_tokens_come_first_and_leave_at_the_tap():
    encoder = random_encoder(tiny_dinov3())
    patches = torch.rand(2, 16, 2, 3)
    tokens = encoder.add_positions(patches)
    assert tokens.shape == (2, 1 + 2 + 6, 16) and encoder.num_special_tokens == 3
    torch.testing.assert_close(tokens[1, 0], encoder.vit.cls_token[0, 0])
    torch.testing.assert_close(tokens[1, 1:3], encoder.vit.register_tokens[0])
    torch.testing.assert_close(tokens[1, 3 + 4], patches[1, :, 1, 1])
    normed = encoder.vit.ln1(patches.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(encoder.tap(tokens, (2, 3)), normed)


def test_half_precision_stays_close():
    encoder = random_encoder(tiny_dinov3())
    image = torch.rand(1, 3, 48, 96)
    with torch.autocast('cpu', torch.bfloat16):
        halves = run(encoder, image)
    for half, whole in zip(halves, run(encoder, image), strict=True):
        assert (half - whole).abs().max() <= 0.05 * whole.abs().max()


def test_encoder_stays_as_it_is_while_the_adapters_train():
    model = MultimodalViT(
        tiny_dinov3(), out_indices=TAPS, cpia=dict(prompt_dims=4), allow_random_encoder=True
    )
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        rgb_maps, aux_maps = model(torch.rand(2, 4, 32, 48))
        sum(m.square().sum() for m in (*rgb_maps, *aux_maps)).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith('encoder.'), name


@pytest.mark.parametrize(
    ('source', 'images'),
    [
        ('a/dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth', 'SAT-493M'),
        ('dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth', 'LVD-1689M'),
        ('hub/dinov3-vitl16-pretrain-sat493m/snapshots/1/model.safetensors', 'SAT-493M'),
        ('vit_large_patch16_dinov3.sat493m.safetensors', 'SAT-493M'),
        ('sat493m/dinov3_vitb16_pretrain_lvd1689m-73cec8be.pth', 'LVD-1689M'),
        ('sat493m/mine.pth', None),
        ('dinov3_l.pth', None),
    ],
)
def test_a_files_name_says_what_its_encoder_was_trained_on(source, images):
    assert images_of(source) == images


@pytest.mark.parametrize(
    ('file', 'images', 'warns'),
    [
        ('dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth', 'LVD-1689M', True),
        ('dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth', 'SAT-493M', True),
        ('dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth', 'SAT-493M', False),
        ('renamed.pth', 'SAT-493M', False),
        ('dinov3_vitl16_pretrain_sat493m-eadcf0ff.pth', 'own', False),
    ],
)
def test_a_mean_of_other_images_is_told(monkeypatch, file, images, warns):
    told = []
    monkeypatch.setattr(dinov3, 'print_log', lambda text, **_: told.append(text))
    config = tiny_model()
    own = ((100.0, 90.0, 80.0), (50.0, 50.0, 50.0))
    mean, std = NORMALISATIONS.get(images, own)
    config.data_preprocessor.update(mean=[*mean, 0.0], std=[*std, 1.0], size_divisor=16)
    pretrained = dict(type='Pretrained', checkpoint=file)
    config.backbone.encoder = tiny_dinov3(init_cfg=pretrained)
    MODELS.build(config)
    assert len(told) == warns
    assert all('LVD-1689M' in message and 'SAT-493M' in message for message in told)


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="arch='vitl16'; it is small, small_plus, base, large, "):
        build_encoder(tiny_dinov3(arch='vitl16'))
    with pytest.raises(ValueError, match='18 channels in 3 heads; .* a multiple of 4'):
        build_encoder(tiny_dinov3(arch=dict(tiny_dinov3()['arch'], embed_dims=18, num_heads=3)))
