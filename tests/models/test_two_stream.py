import pytest
import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import nn

from mobanet_mmseg.models.two_stream import TwoStream


@MODELS.register_module()
class SumBackbone(BaseModule):
    """One map: the sum of the channels, scaled by a parameter."""

    def __init__(self, in_channels=3, init_cfg=None):
        super().__init__(init_cfg)
        self.in_channels = in_channels
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, inputs):
        assert inputs.shape[1] == self.in_channels
        return [self.scale * inputs.sum(dim=1, keepdim=True)]


BACKBONE = dict(type='SumBackbone')


def test_each_stream_gets_its_own_channels_and_one_aux_channel_is_repeated_to_three():
    inputs = torch.rand(2, 4, 6, 10)
    model = TwoStream(BACKBONE)
    with torch.no_grad():
        model.aux.scale.fill_(10)
    (rgb,), (aux,) = model(inputs)
    torch.testing.assert_close(rgb, inputs[:, :3].sum(dim=1, keepdim=True))
    torch.testing.assert_close(aux, 30 * inputs[:, 3:])


def test_other_numbers_of_aux_channels_are_said_in_the_config():
    inputs = torch.rand(2, 5, 6, 10)
    model = TwoStream(BACKBONE, modality_channels=(3, 2), aux=dict(in_channels=2))
    (_,), (aux,) = model(inputs)
    torch.testing.assert_close(aux, inputs[:, 3:].sum(dim=1, keepdim=True))


def test_shared_backbone_holds_its_weights_once_and_gives_the_same_maps_as_two_alike():
    config = dict(
        type='ResNetV1c', depth=18, base_channels=4, stem_channels=4, out_indices=(0, 1, 3)
    )
    shared, two = TwoStream(config, shared=True).eval(), TwoStream(config).eval()
    assert {name.split('.')[0] for name in shared.state_dict()} == {'rgb'}
    for stream in (two.rgb, two.aux):
        stream.load_state_dict(shared.rgb.state_dict())
    inputs = torch.rand(2, 4, 32, 64)
    for ours, theirs in zip(shared(inputs), two(inputs), strict=True):
        assert [tuple(stage.shape) for stage in ours] == [
            (2, 4, 8, 16),
            (2, 8, 4, 8),
            (2, 32, 1, 2),
        ]
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other)


def test_channels_that_no_backbone_takes_are_refused():
    with pytest.raises(
        ValueError, match=r'set in_channels=3 in backbone and aux=dict\(in_chan.*=2'
    ):
        TwoStream(BACKBONE, modality_channels=(3, 2))
    with pytest.raises(ValueError, match=r'take 3 optical .*set in_channels=4 in backbone'):
        TwoStream(BACKBONE, modality_channels=(4, 1))
    with pytest.raises(ValueError, match='runs two images: for the optical one alone'):
        TwoStream(BACKBONE, modality_channels=(3, 0))


def test_shared_backbone_cannot_differ_for_the_auxiliary_image():
    with pytest.raises(ValueError, match='that both streams share'):
        TwoStream(BACKBONE, aux=dict(in_channels=2), shared=True)
