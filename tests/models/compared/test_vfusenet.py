import pytest
import torch
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, logits, model_base, without_memory
from scenes.vgg import features, write
from torch import nn

from mobanet_mmseg.models.compared import segnet
from mobanet_mmseg.models.compared.vfusenet import VFuseNet


def test_parameters_are_those_of_the_authors_graph():
    model = without_memory(model_base('vfusenet'))
    assert count(model.backbone.rgb) == 14_723_136
    assert count(model.backbone.aux) == 14_721_984
    assert count(model.backbone.virtual) == 14_795_136
    assert count(model) == 58_963_590


def test_a_composite_of_three_auxiliary_channels_has_three_channels_of_filters():
    config = model_base('vfusenet')
    config.data_preprocessor.update(modality_channels=(3, 3), mean=[0.0] * 6, std=[255.0] * 6)
    config.backbone.modality_channels = (3, 3)
    assert count(without_memory(config)) == 58_964_742


@pytest.mark.slow
def test_logits_are_those_of_the_authors_graph():
    expected = Fingerprint(
        mean=3571.958,
        std=11910332,
        a=-6399789.4,
        b=-878541.87,
        d=2163715,
        histogram=(13419, 7120, 12589, 14439, 6033, 11936),
    )
    check(model_base('vfusenet'), expected)


def test_the_virtual_encoder_reads_both_first_maps_and_each_stage_sums_three():
    network = VFuseNet(base_channels=2).eval()
    network.rgb.stages = nn.ModuleList([nn.Identity()] * 5)
    network.aux.stages = nn.ModuleList([nn.Identity()] * 5)
    network.virtual.stages = nn.ModuleList(
        [nn.AdaptiveAvgPool3d((1, None, None)), *[nn.Identity()] * 4]  # the first: a mean
    )
    stacked = torch.tensor([2.0, 2, 2, 6]).view(1, 4, 1, 1).expand(1, 4, 32, 64)
    first, second, *_ = network(stacked)
    assert (first.map == 3 + 2 + 6).all()
    assert (second.map == 11 + 2 + 6).all()


def test_a_rectangle_that_32_does_not_divide_gets_logits_of_its_size():
    config = model_base('vfusenet')
    config.backbone.update(base_channels=4)
    config.decode_head.update(in_channels=[4, 8, 16, 32, 32], channels=4)
    model = MODELS.build(config).eval()
    with torch.no_grad():
        assert logits(model, torch.rand(2, 4, 76, 52)).shape == (2, 6, 76, 52)


def test_the_virtual_encoder_starts_from_vgg16_but_for_what_reads_maps(tmp_path, monkeypatch):
    layers = features(batch_norm=True)
    write(layers, tmp_path / 'vgg16_bn.pth')
    network = VFuseNet(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg16_bn.pth')))
    before = network.virtual.stages[0][0].conv.weight.clone()
    said = []
    monkeypatch.setattr(segnet, 'print_log', lambda text, **_: said.append(text))
    network.init_weights()
    first, second = network.virtual.stages[0]
    assert torch.equal(first.conv.weight, before)
    assert torch.equal(first.bn.running_var, layers[1].running_var)
    assert torch.equal(second.conv.weight, layers[3].weight)
    assert 'virtual: 13 convolutions with BN, but for the filters of the first (128 ch' in said[0]
