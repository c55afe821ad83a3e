import re

import pytest
import torch
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, logits, model_base, without_memory
from scenes.vgg import features, write
from torch import nn

from mobanet_mmseg.models.compared import segnet
from mobanet_mmseg.models.compared.segnet import VGG16, Pooled, SegNet, SegNetHead, pool
from mobanet_mmseg.weights.files import CheckpointError

CONV_NORM_ACT = ('conv', 'norm', 'act')


def head() -> SegNetHead:
    """A decoder of 2 channels in each stage, for 3 classes."""
    return SegNetHead(in_channels=[2] * 5, in_index=[0, 1, 2, 3, 4], channels=2, num_classes=3)


def test_parameters_are_the_public_implementations():
    model = without_memory(model_base('segnet'))
    assert count(model.backbone) == 14_723_136
    assert count(model.decode_head) == 14_723_334
    assert count(model) == 29_446_470


@pytest.mark.slow
def test_logits_are_the_public_implementations():
    expected = Fingerprint(
        mean=-374747.79,
        std=1061963,
        a=-326425.35,
        b=-103096.94,
        d=-20077.449,
        histogram=(13975, 6061, 13320, 14237, 5292, 12651),
    )
    check(model_base('segnet'), expected, log_softmax=True)


def test_pooling_remembers_where_maxima_were_and_the_decoder_puts_them_back():
    pooled = pool(torch.tensor([[[[1.0, 2, 3, 9], [4, 0, 5, 6]]]]))
    assert pooled.map.tolist() == [[[[4, 9]]]]
    assert pooled.indices.tolist() == [[[[4, 3]]]]
    assert pooled.size == (2, 4)
    decoder = head().eval()
    decoder.stages = nn.ModuleList(nn.Identity() for _ in range(5))
    decoder.conv_seg = nn.Identity()
    stages, maps = [], torch.rand(1, 2, 32, 64)
    for _ in range(5):
        stages.append(pool(maps))
        maps = stages[-1].map
    unpooled = decoder(stages)
    assert unpooled.shape == (1, 2, 32, 64)
    assert (unpooled > 0).sum() == 2 * 1 * 2  # one value for each of the deepest map's
    assert unpooled.max() == maps.max()
    skipped = [Pooled(*stage[:3], skip=torch.ones(1, 2, *stage.size)) for stage in stages]
    assert (decoder(skipped) - 1).count_nonzero() > (unpooled > 0).sum()


def test_a_rectangle_that_32_does_not_divide_gets_logits_of_its_size():
    config = model_base('segnet')
    config.backbone.update(base_channels=4)
    config.decode_head.update(in_channels=[4, 8, 16, 32, 32], channels=4)
    model = MODELS.build(config).eval()
    with torch.no_grad():
        assert logits(model, torch.rand(2, 3, 76, 52)).shape == (2, 6, 76, 52)


def test_gradients_reach_every_parameter():
    backbone, decoder = (
        SegNet(base_channels=2),
        SegNetHead(
            in_channels=[2, 4, 8, 16, 16], in_index=[0, 1, 2, 3, 4], channels=2, num_classes=3
        ),
    )
    decoder(backbone(torch.rand(2, 3, 64, 96))).square().mean().backward()
    for part in (backbone, decoder):
        assert all(parameter.grad is not None for parameter in part.parameters())


@pytest.mark.parametrize('batch_norm', [True, False])
def test_torchvisions_weights_give_torchvisions_maps(tmp_path, batch_norm):
    layers = features(batch_norm)
    write(layers, tmp_path / 'vgg16.pth')
    backbone = SegNet(
        order=CONV_NORM_ACT,
        init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg16.pth')),
    )
    backbone.init_weights()
    backbone.eval()
    images = torch.rand(1, 3, 32, 64)
    if not batch_norm:
        for stage in backbone.rgb.stages:
            for conv in stage:
                conv.bn = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(backbone(images)[-1].map, layers(images))


@pytest.mark.parametrize(
    ('channels', 'words'),
    [
        (1, 'each channel with the mean of the first filters'),
        (3, '13 convolutions with BN$'),
        (4, 'each channel beyond the third with the mean of the first filters'),
    ],
)
def test_first_filters_fit_the_channels_of_the_image(channels, words):
    layers = features(batch_norm=True)
    tensors = {'0.0.conv.weight': layers[0].weight, '0.0.bn.weight': layers[1].weight}
    vgg = VGG16(channels, 64, CONV_NORM_ACT, None)
    assert re.search(words, vgg.start_from(tensors))
    given, mean = vgg.stages[0][0].conv.weight, layers[0].weight.mean(dim=1)
    for channel in range(channels):
        own = channels >= 3 and channel < 3
        torch.testing.assert_close(given[:, channel], layers[0].weight[:, channel] if own else mean)


def test_weights_do_not_fit_another_width():
    tensors = {'0.0.conv.bias': torch.rand(64)}
    with pytest.raises(CheckpointError, match=r'do not fit \[2, 4, 8, 16, 16\] channels .*1 of a'):
        VGG16(3, 2, CONV_NORM_ACT, None).start_from(tensors)


def test_no_network_ends_in_one_sentence_with_the_place_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    address = 'http://127.0.0.1:9/vgg16_bn-6c64b313.pth'  # the discard port: nothing listens
    backbone = SegNet(base_channels=2, init_cfg=dict(type='Pretrained', checkpoint=address))
    with pytest.raises(
        FileNotFoundError, match=r'put it at .*vgg16_bn-6c64b313\.pth, or set model\.backbone\.init'
    ):
        backbone.init_weights()


def test_what_was_loaded_is_logged_in_words(tmp_path, monkeypatch):
    write(features(batch_norm=True), tmp_path / 'vgg16_bn.pth')
    said = []
    monkeypatch.setattr(segnet, 'print_log', lambda text, **_: said.append(text))
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg16_bn.pth'))
    SegNet(init_cfg=pretrained).init_weights()
    assert said == [f'SegNet starts from {tmp_path}/vgg16_bn.pth: rgb: 13 convolutions with BN.']
