import pytest
import torch
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, model_base

from mobanet_mmseg.models.compared.maresunet import AttentionBlock, MAResUNetHead, UpBlock

WIDTHS = (64, 128, 256, 512)


def model(depth: int) -> dict:
    config = model_base('maresunet')
    config.backbone.update(depth=depth, init_cfg=None)
    return config


@pytest.mark.parametrize(('depth', 'parameters'), [(18, 16_168_350), (34, 26_276_510)])
def test_counts(depth, parameters):
    assert count(MODELS.build(model(depth))) == parameters


def test_counts_of_the_parts():
    blocks = [count(AttentionBlock(width, dropout_ratio=0.1)) for width in WIDTHS]
    assert blocks == [54_610, 217_762, 869_698, 3_476_098]
    norm_cfg = dict(type='BN')
    ups = [UpBlock(i, o, norm_cfg) for i, o in ((512, 256), (256, 128), (128, 64), (64, 64))]
    assert [count(up) for up in ups] == [247_296, 62_208, 15_744, 4_640]


@pytest.mark.parametrize(
    ('depth', 'expected'),
    [
        (
            18,
            Fingerprint(
                0.038880124,
                0.18671572,
                -0.45178987,
                0.095232337,
                -0.036370668,
                (2192, 2306, 55817, 1227, 1583, 2411),
            ),
        ),
        (
            34,
            Fingerprint(
                -3.7826031,
                1416.8928,
                -1426.1313,
                -373.5287,
                328.87014,
                (17862, 13992, 1136, 41, 2359, 30146),
            ),
        ),
    ],
)
def test_logits_are_the_public_implementations(depth, expected):
    check(model(depth), expected)


def test_rectangles_go_through_and_turn_with_their_attention():
    torch.manual_seed(0)
    block = AttentionBlock(64, dropout_ratio=0.1).eval()
    for gamma in (block.pixel_attention.gamma, block.channel_attention.gamma.scale):
        gamma.data.fill_(1)
    block.transform.conv.weight.data[:] = block.transform.conv.weight.sum(dim=(2, 3), keepdim=True)
    inputs = torch.rand(1, 64, 2, 3)
    torch.testing.assert_close(block(inputs).mT, block(inputs.mT))
    head = MAResUNetHead([8, 16, 32, 64], in_index=[0, 1, 2, 3], num_classes=6).eval()
    maps = [torch.rand(1, 8 * 2**i, 16 >> i, 24 >> i) for i in range(4)]
    assert head(maps).shape == (1, 6, 64, 96)
