import pytest
import torch
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, logits, model_base, without_memory
from torch import nn

from mobanet_mmseg.models.compared.cmfnet import (
    ChannelGate,
    ChannelTransformer,
    Embedding,
    Scale,
)

WIDTHS = (64, 128, 256, 512)


def without_gradient() -> dict[str, int]:
    """What the public implementation has besides, by its layers' shapes: never reached."""
    total = sum(WIDTHS)
    key_or_value = (total // 4) ** 2
    output = sum(width**2 for width in WIDTHS)
    mlp = sum(8 * width**2 + 5 * width for width in WIDTHS)
    queries = sum(4 * (width // 4) ** 2 for width in WIDTHS)
    return dict(
        other_heads=3 * 2 * key_or_value * (2 * 4 + 4),
        last_auxiliary=queries + 2 * key_or_value + output + mlp + 2 * 2 * total,
        gates=2 * (output + total),
        reconstruction=output + 3 * total,
    )


def test_parameters_are_the_public_implementations_but_for_those_without_gradient():
    model = without_memory(model_base('cmfnet'))
    left_out = without_gradient()
    assert left_out == dict(
        other_heads=4_147_200, last_auxiliary=3_344_320, gates=698_240, reconstruction=351_040
    )
    backbone = model.backbone
    assert count(backbone.rgb) + count(backbone.aux) == 14_723_136 + 14_721_984
    assert count(model.decode_head) == 14_723_334
    assert count(backbone.self_transformer) == 19_561_344 - 4 * 6 * 240**2
    assert count(model) == 95_533_318
    assert count(model) + sum(left_out.values()) == 104_074_118


@pytest.mark.slow
def test_logits_are_the_public_implementations():
    expected = Fingerprint(
        mean=-1546072.1,
        std=4180826.9,
        a=-811532.47,
        b=-3190151.2,
        d=-301289.51,
        histogram=(14056, 6100, 13170, 14081, 5301, 12828),
    )
    check(model_base('cmfnet'), expected, log_softmax=True)


@pytest.mark.parametrize('size', [(76, 52), (128, 64)])
def test_images_of_any_size_get_logits_of_their_size(size):
    config = model_base('cmfnet')
    config.backbone.update(base_channels=4, num_layers=2)
    config.decode_head.update(in_channels=[4, 8, 16, 32, 32], channels=4)
    model = MODELS.build(config).eval()
    with torch.no_grad():
        assert logits(model, torch.rand(2, 4, *size)).shape == (2, 6, *size)


def test_gradients_reach_every_parameter():
    config = model_base('cmfnet')
    config.backbone.update(base_channels=4, num_layers=2)
    config.decode_head.update(in_channels=[4, 8, 16, 32, 32], channels=4)
    model = MODELS.build(config).train()
    model.decode_head(model.backbone(torch.rand(2, 4, 64, 96))).square().mean().backward()
    assert not [name for name, value in model.named_parameters() if value.grad is None]


def test_the_optical_output_hears_of_the_auxiliary_image_through_keys_alone():
    transformer = ChannelTransformer(2, (4, 8, 16, 32), 4, 1, dict(type='BN'))
    rgb, aux = transformer.layers[0].streams
    assert rgb.key is None and rgb.value is not None
    assert aux.key is not None and aux.value is None and len(aux.scales) == 0


def test_positions_of_another_grid_are_resized_rows_before_columns():
    embedding = Embedding((4, 8, 16, 32), grid=4).eval()
    nn.init.zeros_(embedding.projections[0].weight)
    nn.init.zeros_(embedding.projections[0].bias)
    rows = torch.arange(4.0).repeat_interleave(4)
    embedding.positions[0].data.copy_(rows[None, :, None].expand(1, 16, 4))
    maps = [torch.rand(1, 4 * 2**i, 96 >> i, 128 >> i) for i in range(4)]
    tokens = embedding(maps)[0].view(1, 6, 8, 4)
    assert (tokens[:, 1:] > tokens[:, :-1]).all()  # down the rows
    torch.testing.assert_close(tokens[:, :, 1:], tokens[:, :, :-1])


def test_heads_take_quarters_and_their_results_interleave():
    scale = Scale(8, total=16).eval()
    for query in scale.queries:
        nn.init.zeros_(query.weight)  # all similarities alike: each channel gets the values' mean
    nn.init.eye_(scale.output.weight)
    scale.ffn = nn.Identity()
    scale.ffn_norm = nn.Identity()
    scale.ffn.forward = lambda tokens, identity: tokens
    keys = torch.rand(1, 4, 3, 4)
    values = torch.arange(4.0).view(1, 4, 1, 1).expand(1, 4, 3, 4)  # head h: h everywhere
    tokens = torch.zeros(1, 3, 8)
    assert scale(tokens, keys, values)[0, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]


def test_gates_weigh_channels_by_their_means():
    gate = ChannelGate(2)
    with torch.no_grad():
        gate.conv.weight.copy_(torch.tensor([[1.0, 0], [0, 0]]).view(2, 2, 1, 1))
        gate.conv.bias.zero_()
        maps = torch.tensor([[[[1.0, 3]], [[4, 0]]]])
        given = gate(maps)
    weight = 1 / (1 + torch.exp(torch.tensor(-2.0)))
    torch.testing.assert_close(given[0, 0, 0], weight * maps[0, 0, 0])
    torch.testing.assert_close(given[0, 1, 0], maps[0, 1, 0] / 2)
