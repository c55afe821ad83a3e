import pytest
import torch
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, logits, model_base, without_memory
from scenes.vgg import features, write
from torch import nn

from mobanet_mmseg.models.compared.fusenet import FuseNet


def test_parameters_are_the_public_implementations():
    model = without_memory(model_base('fusenet'))
    assert count(model.backbone.rgb) == 14_723_136
    assert count(model.backbone.aux) == 14_721_984
    assert count(model) == 44_168_454


@pytest.mark.slow
def test_logits_are_those_of_the_public_implementation_that_sums():
    expected = Fingerprint(
        mean=510.95584,
        std=6419486.7,
        a=-1123845,
        b=9606.6572,
        d=529305.1,
        histogram=(13926, 6042, 13210, 14532, 5422, 12404),
    )
    config = model_base('fusenet')
    config.backbone.fusion = 'sum'
    check(config, expected)


@pytest.mark.parametrize(('fusion', 'fused'), [('sum', 5), ('mean', 2.5)])
def test_optical_maps_get_the_auxiliary_ones_and_not_the_other_way_round(fusion, fused):
    network = FuseNet(fusion=fusion, base_channels=2).eval()
    network.rgb.stages = nn.ModuleList([nn.Identity()] * 5)
    network.aux.stages = nn.ModuleList([nn.Identity()] * 5)
    stacked = torch.tensor([2.0, 2, 2, 3]).view(1, 4, 1, 1).expand(1, 4, 32, 64)
    first, second, *_ = network(stacked)
    assert (first.map == fused).all()
    assert (second.map == (fused + 3 if fusion == 'sum' else (fused + 3) / 2)).all()


def test_dropout_follows_the_third_fourth_and_fifth_pooling():
    network = FuseNet(base_channels=2, dropout_ratio=0.4)
    assert [dropout.p for dropout in network.dropouts] == [0, 0, 0.4, 0.4, 0.4]
    decoder = MODELS.build(dict(model_base('fusenet').decode_head))
    assert [stage[-1].p for stage in decoder.stages] == [0.5, 0.5, 0.5, 0, 0]  # deepest first


def test_a_rectangle_that_32_does_not_divide_gets_logits_of_its_size():
    config = model_base('fusenet')
    config.backbone.update(base_channels=4)
    config.decode_head.update(in_channels=[4, 8, 16, 32, 32], channels=4)
    model = MODELS.build(config).eval()
    with torch.no_grad():
        assert logits(model, torch.rand(2, 4, 76, 52)).shape == (2, 6, 76, 52)


def test_both_encoders_start_from_vgg16(tmp_path):
    layers = features(batch_norm=False)
    write(layers, tmp_path / 'vgg16.pth')
    network = FuseNet(init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg16.pth')))
    network.init_weights()
    torch.testing.assert_close(network.rgb.stages[0][0].conv.weight, layers[0].weight)
    torch.testing.assert_close(
        network.aux.stages[0][0].conv.weight, layers[0].weight.mean(dim=1, keepdim=True)
    )
    torch.testing.assert_close(network.aux.stages[4][2].conv.weight, layers[28].weight)


def test_an_unknown_fusion_and_a_missing_image_are_refused():
    with pytest.raises(ValueError, match="got fusion='max': give 'sum' or 'mean'"):
        FuseNet(fusion='max', base_channels=2)
    with pytest.raises(ValueError, match=r'FuseNet got modality_channels=\(3, 0\); it runs two'):
        FuseNet(modality_channels=(3, 0), base_channels=2)
