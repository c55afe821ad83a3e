import numpy as np
import pytest
import torch
from scenes.encoders import random_encoder, run, tiny_giant
from scenes.models import tiny_vit

from mobanet_mmseg.models.frozen_streams import build_encoder


@pytest.mark.parametrize('grid', ['native', 'wide'])
@pytest.mark.parametrize(('name', 'registers'), [('dinov2_tiny', 0), ('dinov2_tiny_reg4', 4)])
def test_upstream_dinov2_weights_give_upstream_features(shared, name, registers, grid):
    expected = np.load(shared(f'fixtures/{name}_expected.npz'))
    encoder = build_encoder(
        tiny_vit(
            arch=dict(embed_dims=64, num_layers=8, num_heads=2, feedforward_channels=256),
            num_registers=registers,
            init_cfg=dict(type='Pretrained', checkpoint=str(shared(f'fixtures/{name}.pth'))),
        )
    )
    encoder.init_weights()
    encoder.eval()
    maps = run(encoder, torch.from_numpy(expected[f'{grid}_input']), (1, 3, 5, 7))
    for tap, features in zip((1, 3, 5, 7), maps, strict=True):
        reference = torch.from_numpy(expected[f'{grid}_block{tap}'])
        assert (features - reference).abs().max() <= 1e-5 * reference.abs().max()


@pytest.mark.parametrize('config', [tiny_vit, tiny_giant])
def test_native_grid_equals_mmpretrains_own_forward(config):
    encoder = random_encoder(config())
    encoder.vit.out_type = 'featmap'
    image = torch.rand(2, 3, 70, 70)
    torch.testing.assert_close(run(encoder, image)[-1], encoder.vit(image)[0])


def test_positions_of_another_grid_are_resized_with_dinov2s_offset():
    encoder = random_encoder(tiny_vit())
    native = encoder.vit.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (5, 5))
    resized = encoder._positions((3, 8))[:, 1:].transpose(1, 2).unflatten(2, (3, 8))
    # the scale is (h + 0.1) / 5, so target row y samples source row (y + 0.5) * 5 / 3.1 - 0.5;
    # bicubic with a = -0.75 between source rows 0..3, in columns at (x + 0.5) * 5 / 8.1 - 0.5
    y, x = 1.5 * 5 / 3.1 - 0.5, 3.5 * 5 / 8.1 - 0.5

    def cubic(t, a=-0.75):
        t = abs(t)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0

    weights = torch.tensor([[cubic(y - i) * cubic(x - j) for j in range(5)] for i in range(5)])
    by_hand = (native[0, 0] * weights).sum()
    torch.testing.assert_close(resized[0, 0, 1, 3], by_hand, atol=1e-5, rtol=1e-5)


def test_positions_of_a_vit_with_registers_are_antialiased():
    # of stripes one patch wide, 2 columns can show no more than their mean, 1 / 5
    stripes = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]).repeat(5)[:, None].expand(25, 16)
    largest = {}
    for registers in (0, 4):
        encoder = random_encoder(tiny_vit(num_registers=registers))
        encoder.vit.pos_embed.data[0, 1:] = stripes
        largest[registers] = encoder._positions((3, 2))[:, 1:].abs().max()
    assert largest[4] < 0.5 < largest[0]


def test_registers_stand_between_cls_and_patches_and_have_no_position():
    encoder = random_encoder(tiny_vit(num_registers=2))
    vit, patches = encoder.vit, torch.rand(2, 16, 5, 5)
    tokens = encoder.add_positions(patches)
    assert tokens.shape == (2, 1 + 2 + 25, 16)
    assert encoder.num_special_tokens == 3
    torch.testing.assert_close(tokens[1, 0], vit.cls_token[0, 0] + vit.pos_embed[0, 0])
    torch.testing.assert_close(tokens[1, 1:3], vit.register_tokens[0])
    torch.testing.assert_close(tokens[1, 3 + 7], patches[1, :, 1, 2] + vit.pos_embed[0, 1 + 7])


def test_taps_leave_the_special_tokens_behind():
    encoder = random_encoder(tiny_vit(num_registers=2))
    torch.nn.init.ones_(encoder.vit.ln1.weight)
    torch.nn.init.zeros_(encoder.vit.ln1.bias)
    tokens = torch.zeros(1, 3 + 6, 16)
    tokens[0, 3 + 4, 0] = 1.0  # row 1, column 1 of 2 x 3
    assert encoder.tap(tokens, (2, 3))[0, 0].nonzero().tolist() == [[1, 1]]


@pytest.mark.parametrize('registers', [0, 4])
def test_file_of_another_native_grid_gives_the_same_features_at_the_configs_grid(
    tmp_path, registers
):
    source = random_encoder(tiny_vit(img_size=126, num_registers=registers))  # 9 x 9
    torch.save(source.vit.state_dict(), tmp_path / 'vit.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'))
    target = build_encoder(
        tiny_vit(img_size=(42, 70), num_registers=registers, init_cfg=pretrained)
    )
    target.init_weights()
    target.eval()
    image = torch.rand(1, 3, 42, 70)
    torch.testing.assert_close(run(target, image), run(source, image))


def test_another_size_is_refused():
    with pytest.raises(ValueError, match="arch='dinov2-small'; it is small, base, large, giant"):
        build_encoder(tiny_vit(arch='dinov2-small'))
