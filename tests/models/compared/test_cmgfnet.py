import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, count, fill, fingerprint, images, model_base
from scenes.models import samples

from mobanet_mmseg.models.compared.cmgfnet import CMGFNetHead, Gate, ResidualUp, SixLevelResNet

CLASSIFIER = 512 * 1000 + 1000  # ImageNet's, of an encoder; nothing uses it
EXPECTED = {
    'fused': Fingerprint(18574330, 34064277, 0, 0, 0, (0, 64729, 49, 1, 757, 0)),
    'rgb': Fingerprint(5969111.2, 8476271.8, 7088026.7, 0, 491030.38, (32, 64, 184, 32, 65214, 10)),
    'cross': Fingerprint(
        80209.803, 257080.4, 2086.0198, 57903.931, 0, (499, 2753, 544, 50095, 270, 11375)
    ),
}


@pytest.fixture(scope='module')
def network() -> torch.nn.Module:
    init_default_scope('mmseg')
    config = model_base('cmgfnet')
    config.backbone.backbone.init_cfg = None
    return MODELS.build(config)


def test_counts(network):
    assert count(network) == 42_658_566
    assert count(network) + 2 * CLASSIFIER == 43_684_566  # the paper's 43.68 M
    assert count(network.backbone.rgb) == 21_797_672 - CLASSIFIER
    assert count(network.backbone.aux) == 21_791_400 - CLASSIFIER
    head = network.decode_head
    assert [count(up) for up in head.rgb_decoder] == [1_232] + 5 * [2_912]
    assert [count(up) for up in head.cross_decoder] == [1_232] + 5 * [5_104]
    assert [count(gate) for gate in head.gates] == 6 * [528]
    assert count(head.rgb_sides) == count(head.aux_sides) == 24_672
    heads = head.conv_seg, head.rgb_conv_seg, head.cross_conv_seg
    assert [count(each) for each in heads] == [210, 114, 114]


@torch.no_grad()
def test_logits_are_the_public_implementations(network):
    fill(network)
    outputs = network.decode_head.forward_all(network.extract_feat(images(4)))
    for output, expected in zip(outputs, EXPECTED.values(), strict=True):
        given = fingerprint(output)
        assert given[:5] == pytest.approx(expected[:5], rel=5e-6, abs=1e-12)
        assert given.histogram == expected.histogram


def test_gate_passes_what_it_opens_of_rgb_and_the_rest_of_aux():
    gate = Gate(2)
    torch.nn.init.zeros_(gate.gate.weight)
    torch.nn.init.constant_(gate.gate.bias, torch.tensor(3.0).log())  # sigmoid: 3 / 4
    rgb, aux = torch.rand(2, 1, 2, 3, 5)
    torch.testing.assert_close(gate(rgb, aux), torch.cat([aux / 4, rgb * 3 / 4], dim=1))


def test_upsampling_doubles_a_rectangle_and_keeps_its_corners():
    up = ResidualUp(3, 2, dict(type='BN')).eval()
    torch.nn.init.zeros_(up.convs[-1].weight)  # the shortcut alone
    inputs = torch.rand(1, 3, 2, 3)
    given = up(inputs)
    assert given.shape == (1, 2, 4, 6)
    torch.testing.assert_close(given[..., ::3, ::5], up.shortcut(inputs)[..., :, ::2])


def tiny() -> tuple[ConfigDict, list[int]]:
    config = model_base('cmgfnet')
    resnet = dict(depth=18, stem_channels=8, base_channels=8, init_cfg=None)
    config.backbone.backbone.update(resnet)
    widths = [8, 8, 16, 32, 64, 64]
    config.decode_head.update(in_channels=widths, channels=4)
    return config, widths


def test_six_levels_of_a_rectangle():
    config, widths = tiny()
    config.backbone.backbone.pop('type')
    maps = SixLevelResNet(**config.backbone.backbone)(torch.rand(1, 3, 64, 128))
    shapes = [(1, width, 32 >> i, 64 >> i) for i, width in enumerate(widths)]
    assert [tuple(level.shape) for level in maps] == shapes


@pytest.mark.parametrize(('channels', 'kept'), [(1, 0), (2, 0), (3, 3), (4, 3)])
def test_an_encoder_of_other_channels_starts_from_the_mean_over_three(channels, kept, tmp_path):
    small = dict(depth=18, stem_channels=8, base_channels=8)
    weights = SixLevelResNet(**small).state_dict()
    torch.save(weights, tmp_path / 'resnet.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet.pth'))
    network = SixLevelResNet(in_channels=channels, init_cfg=init_cfg, **small)
    network.init_weights()
    given, filters = network.conv1.weight.data, weights['conv1.weight']
    torch.testing.assert_close(given[:, :kept], filters[:, :kept])
    mean = filters.mean(dim=1, keepdim=True).expand(-1, channels - kept, -1, -1)
    torch.testing.assert_close(given[:, kept:], mean)
    assert network.layer4[1].conv2.weight.equal(weights['layer4.1.conv2.weight'])


def test_the_loss_is_the_mean_of_three_and_prediction_takes_the_fused_map():
    config, _ = tiny()
    network = MODELS.build(config).eval()
    head: CMGFNetHead = network.decode_head
    inputs, labels = torch.rand(2, 4, 64, 128), torch.randint(0, 6, (2, 64, 128))
    maps = network.extract_feat(inputs)
    outputs = head.forward_all(maps)
    losses = head.loss(maps, samples(labels), {})
    expected = sum(torch.nn.functional.cross_entropy(output, labels) for output in outputs) / 3
    torch.testing.assert_close(losses['loss_ce'], expected)
    torch.testing.assert_close(head(maps), outputs[0])
    assert all(output.shape == (2, 6, 64, 128) for output in outputs)
    right = (outputs[0].argmax(dim=1) == labels).float().mean()
    torch.testing.assert_close(losses['acc_seg'].view(()) / 100, right)
