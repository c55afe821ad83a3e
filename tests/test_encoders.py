import numpy as np
import pytest
import torch
from conftest import tiny_vit

from mobanet_mmseg.models.encoders import build_encoder


def run(encoder, image, taps):
    """Feature maps at the taps."""
    patches = encoder.projection(image)
    grid = tuple(patches.shape[-2:])
    tokens, maps, first = encoder.add_positions(patches), [], 0
    for last in taps:
        tokens = encoder.run_blocks(tokens, first, last, grid)
        maps.append(encoder.tap(tokens, grid))
        first = last + 1
    return maps


@pytest.mark.parametrize('grid', ['native', 'wide'])
def test_upstream_dinov2_weights_give_upstream_features(shared, grid):
    expected = np.load(shared('fixtures/dinov2_tiny_expected.npz'))
    encoder = build_encoder(
        tiny_vit(
            arch=dict(embed_dims=64, num_layers=8, num_heads=2, feedforward_channels=256),
            init_cfg=dict(type='Pretrained', checkpoint=str(shared('fixtures/dinov2_tiny.pth'))),
        )
    )
    encoder.init_weights()
    encoder.eval()
    with torch.no_grad():
        maps = run(encoder, torch.from_numpy(expected[f'{grid}_input']), (1, 3, 5, 7))
    for tap, features in zip((1, 3, 5, 7), maps, strict=True):
        reference = torch.from_numpy(expected[f'{grid}_block{tap}'])
        assert (features - reference).abs().max() <= 1e-5 * reference.abs().max()


def test_native_grid_equals_mmpretrains_own_forward():
    encoder = build_encoder(tiny_vit(out_type='featmap', out_indices=[3])).eval()
    image = torch.rand(2, 3, 70, 70)
    torch.testing.assert_close(run(encoder, image, (1, 3))[-1], encoder.vit(image)[0])


def test_positions_of_another_grid_are_resized_with_dinov2s_offset():
    encoder = build_encoder(tiny_vit())
    torch.nn.init.normal_(encoder.vit.pos_embed)
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


def test_weights_count_as_given_only_when_every_tensor_came(tmp_path):
    source, target = (build_encoder(tiny_vit()) for _ in range(2))
    state = source.state_dict()
    assert not target.weights_given
    target.load_state_dict({k: v for k, v in state.items() if 'layers.2' not in k}, strict=False)
    assert not target.weights_given
    target.load_state_dict(state)
    assert target.weights_given


def test_configured_weights_are_placed_strictly(tmp_path):
    file = tmp_path / 'vit.pth'
    vit = build_encoder(tiny_vit()).vit
    torch.save({'state_dict': {f'backbone.{k}': v for k, v in vit.state_dict().items()}}, file)
    pretrained = dict(type='Pretrained', checkpoint=str(file), prefix='backbone.')
    encoder = build_encoder(tiny_vit(init_cfg=pretrained))
    encoder.init_weights()
    assert encoder.weights_given
    for name, value in vit.state_dict().items():
        assert torch.equal(encoder.vit.state_dict()[name], value)
    other = tiny_vit(init_cfg=pretrained, layer_scale_init_value=0.0)
    with pytest.raises(ValueError, match=r'vit\.pth do not fit.*8 left over: layers\.0\.attn'):
        build_encoder(other).init_weights()


def test_other_backbones_are_refused():
    with pytest.raises(ValueError, match=r'encoder is a ResNet; .*VisionTransformer'):
        build_encoder(dict(type='mmpretrain.ResNet', depth=18))


def test_other_ways_of_initialising_are_refused():
    with pytest.raises(ValueError, match="type 'Normal'"):
        build_encoder(tiny_vit(init_cfg=dict(type='Normal')))
