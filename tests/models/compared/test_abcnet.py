import torch
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, check, count, model_base

from mobanet_mmseg.models.compared.abcnet import ABCNet, ABCNetHead


def model() -> dict:
    config = model_base('abcnet')
    config.backbone.backbone.init_cfg = None
    return config


def test_counts():
    network = MODELS.build(model())
    parts = network.backbone, network.decode_head, *network.auxiliary_head
    contextual = network.backbone.context_path
    assert count(contextual.backbone) == 11_176_512
    assert count(contextual) == 12_464_770
    assert count(network.backbone.spatial_path) == 91_968
    assert [count(part) for part in parts] == [
        12_464_770 + 91_968 + 148_289,
        689_024,
        98_816,
        173_696,
    ]
    assert count(network) == 13_666_563  # the paper's 13.67 M, with the heads of training
    assert count(network) - count(network.auxiliary_head) == 13_394_051


def test_logits_are_the_public_implementations():
    check(
        model(),
        Fingerprint(
            8446.2729,
            30418397,
            28551379,
            90.321331,
            -61.424602,
            (9758, 11877, 10635, 13707, 9778, 9781),
        ),
    )


def tiny() -> ABCNet:
    resnet = dict(type='ResNet', depth=18, stem_channels=8, base_channels=4, out_indices=(1, 2, 3))
    return ABCNet(resnet, context_channels=(16, 32), channels=16, spatial_channels=4)


def test_a_rectangle_gives_maps_of_an_eighth_and_a_sixteenth():
    shapes = [tuple(maps.shape) for maps in tiny().eval()(torch.rand(1, 3, 64, 96))]
    assert shapes == [(1, 32, 8, 12), (1, 16, 8, 12), (1, 16, 4, 6)]


def test_untrained_attention_leaves_the_fused_paths_as_they_are():
    network = tiny().eval()
    inputs = torch.rand(1, 3, 64, 96)
    fused, at8, _ = network(inputs)
    both = torch.cat([network.spatial_path(inputs), at8], dim=1)
    torch.testing.assert_close(fused, network.fuse(both))


def test_a_head_shuffles_the_channels_of_a_pixel_into_a_square():
    head = ABCNetHead(
        scale=2, in_channels=1, channels=1, num_classes=6, norm_cfg=dict(type='BN')
    ).eval()
    head.convs = torch.nn.Identity()
    head.conv_seg[0].weight.data[:] = torch.arange(24.0).view(24, 1, 1, 1)
    head.conv_seg[0].bias.data.zero_()
    given = head([torch.tensor([[[[1.0, 100.0]]]])])
    torch.testing.assert_close(
        given[0, 1], torch.tensor([[4.0, 5.0, 400.0, 500.0], [6.0, 7.0, 600.0, 700.0]])
    )
