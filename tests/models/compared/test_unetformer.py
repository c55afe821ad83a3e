import pytest
import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, model_base
from scenes.models import samples

from mobanet_mmseg.models.compared.unetformer import (
    AuxiliaryOutput,
    GlobalLocalAttention,
    UNetFormerHead,
    WeightedFusion,
    reflect,
)

EXPECTED = Fingerprint(
    -0.035354562,
    0.6074809,
    1.4289478,
    -0.0067779107,
    -0.66540484,
    (53498, 11251, 418, 236, 58, 75),
)
BN = dict(type='BN')


def tiny() -> ConfigDict:
    """UNetFormer of few channels."""
    config = model_base('unetformer')
    config.backbone.update(base_channels=8, stem_channels=8, init_cfg=None)
    config.decode_head.update(in_channels=[8, 16, 32, 64], channels=8)
    return config


def test_counts():
    network = MODELS.build(model_base('unetformer'))
    assert count(network) == 11_724_894  # the paper's 11.72 M
    assert count(network.backbone) == 11_176_512
    parts = {name: count(part) for name, part in network.decode_head.named_children()}
    assert {name: number for name, number in parts.items() if number} == {
        'conv_seg': 384,
        'reduce': 32_896,
        'block4': 96_968,
        'block3': 96_968,
        'block2': 96_968,
        'fuse3': 53_378,
        'fuse2': 45_186,
        'refine': 51_266,
        'conv': 36_992,
        'auxiliary': 37_376,
    }


def test_logits_are_the_public_implementations():
    check(model_base('unetformer'), EXPECTED, digits=7)


def test_every_parameter_learns_and_a_rectangle_goes_through():
    network = MODELS.build(tiny()).train()
    inputs, labels = torch.rand(2, 3, 76, 52), torch.randint(0, 6, (2, 76, 52))
    losses = network.loss(inputs, samples(labels))
    assert set(losses) == {'decode.loss_ce', 'decode.loss_auxiliary', 'decode.acc_seg'}
    (losses['decode.loss_ce'] + losses['decode.loss_auxiliary']).backward()
    assert not [name for name, value in network.named_parameters() if value.grad is None]
    with torch.no_grad():
        logits = network.eval().encode_decode(inputs, [dict(img_shape=inputs.shape[-2:])] * 2)
    assert logits.shape == (2, 6, 76, 52)


def test_the_auxiliary_output_counts_by_its_weight_and_in_training_alone():
    maps = [torch.rand(2, 8 << stage, 8 >> stage, 16 >> stage) for stage in range(4)]
    labels = torch.randint(0, 6, (2, 32, 64))
    config = tiny().decode_head
    config.dropout_ratio = 0.0
    config.pop('type')
    head = UNetFormerHead(**config)
    head.auxiliary.dropout.p = 0.0
    logits, auxiliary = head(maps)
    losses = head.loss_by_feat((logits, auxiliary), samples(labels))
    for name, weight, output in (('loss_ce', 1.0, logits), ('loss_auxiliary', 0.4, auxiliary)):
        output = F.interpolate(output, (32, 64), mode='bilinear', align_corners=False)
        torch.testing.assert_close(losses[name], weight * F.cross_entropy(output, labels))
    assert head.eval()(maps).shape == (2, 6, 8, 16)
    assert 'loss_auxiliary' not in head.loss(maps, samples(labels), {})
    without = UNetFormerHead(**{**config, 'loss_auxiliary': None}).train()
    assert without(maps).shape == (2, 6, 8, 16)


def test_maps_of_three_sizes_meet_at_the_largest_with_their_corners_kept():
    output = AuxiliaryOutput(1, 1, BN)
    output.conv, output.dropout, output.conv_seg = (torch.nn.Identity() for _ in range(3))
    deep, middle, shallow = torch.rand(1, 1, 2, 3), torch.rand(1, 1, 4, 6), torch.rand(1, 1, 8, 12)
    added = output(deep, middle, shallow)
    corners = (
        maps[..., ::rows, ::columns]
        for maps, rows, columns in ((deep, 1, 2), (middle, 3, 5), (shallow, 7, 11))
    )
    torch.testing.assert_close(added[..., ::7, ::11], sum(corners))


def test_fusion_weighs_by_the_positive_parts_of_its_numbers():
    fusion = WeightedFusion(1, 1, BN)
    fusion.reduce = fusion.conv = torch.nn.Identity()
    maps, skip = torch.ones(1, 1, 2, 3), torch.full((1, 1, 4, 6), 10.0)
    for weights, expected in (((1, 1), 5.5), ((3, 1), 7.75), ((-1, 2), 1.0)):
        fusion.weights.data = torch.tensor([float(w) for w in weights])
        torch.testing.assert_close(fusion(maps, skip), torch.full((1, 1, 4, 6), expected))


def test_attention_of_equal_keys_is_the_mean_of_a_window_then_of_rows_and_columns():
    attention = GlobalLocalAttention(8, 8, 8, BN).eval()
    identity, zeros = torch.eye(8), torch.zeros(8, 8)
    attention.msa.qkv.weight.data = torch.cat([zeros, zeros, identity])
    values = torch.zeros(1, 8, 8, 16)
    values[..., :8], values[..., 8:] = 1.0, 3.0  # two windows
    attended = attention._attend(values)
    torch.testing.assert_close(attended, values)
    for conv in (attention.local1.conv, attention.local3.conv):
        torch.nn.init.zeros_(conv.weight)
    attention.proj.forward = lambda maps: maps[..., :-1, :-1]  # what is reflected for it
    # averages of 8 from 3 before to 4 behind: zeros beyond the border but for one reflected pixel
    columns = torch.tensor([5, 6, 7, 8, 8, 7, 6, 5]) / 8
    rows = torch.tensor([5, 6, 7, 8, 10, 12, 14, 16, 18, 20, 22, 24, 24, 21, 18, 15]) / 8
    expected = columns[:, None] * values + rows
    torch.testing.assert_close(attention(values), expected)


@pytest.mark.parametrize(
    ('padding', 'expected'),
    [(0, 'abc'), (1, 'abcb'), (2, 'abcba'), (3, 'abcbab'), (5, 'abcbabcb')],
)
def test_reflection_goes_to_and_fro(padding, expected):
    rows = torch.arange(3.0).view(1, 1, 3, 1)
    padded = reflect(rows, padding, 0).flatten().long().tolist()
    assert ''.join('abc'[i] for i in padded) == expected
    assert reflect(rows, padding, 0).mT.equal(reflect(rows.mT, 0, padding))
    if padding < 3:
        assert reflect(rows, padding, 0).equal(F.pad(rows, (0, 0, 0, padding), mode='reflect'))
    assert reflect(torch.ones(1, 1, 1, 2), 7, 6).equal(torch.ones(1, 1, 8, 8))


def test_an_odd_window_is_refused():
    with pytest.raises(ValueError, match='window_size=7: give an even one'):
        UNetFormerHead([8, 8, 8, 8], 8, window_size=7, num_classes=3)
