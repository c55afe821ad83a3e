import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.models import tiny_model
from scenes.paths import ROOT
from scenes.toy import toy
from torch import nn

from mobanet_mmseg.models.responses import BRANCHES, ResponseMaps


class Head(nn.Module):
    """Logits of two classes: 0 and a sum of the channels of one map."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.tensor(weights)

    def predict(self, features, metas, test_cfg):
        score = torch.einsum('bchw,c->bhw', features[-1], self.weights)
        return torch.stack([torch.zeros_like(score), score], dim=1)


class Model(nn.Module):
    """Its map is its input, and its head sums that."""

    def __init__(self, weights):
        super().__init__()
        self.decode_head = Head(weights)
        self.test_cfg = None

    def extract_feat(self, inputs):
        return [inputs * 100, inputs]


def test_weights_and_maps_by_hand():
    """Where 2 a - b is above 0 the class is predicted: in two of six pixels."""
    a = torch.tensor([[1.0, 0.0, 0.0], [0.0, 3.0, 1.0]])
    b = torch.tensor([[1.0, 1.0, 0.0], [2.0, 0.0, 2.0]])
    inputs = torch.stack([a, b])[None]
    maps = ResponseMaps(Model([2.0, -1.0]), label=1)
    logits = maps.weigh(inputs, (2, 3))
    torch.testing.assert_close(logits[0, 1], 2 * a - b)
    assert maps.branches == ('fused',)
    torch.testing.assert_close(maps.weights['fused'][1].float(), torch.tensor([4.0, -2.0]))
    expected = (4 * a - 2 * b).relu()  # sums: the mean of the gradients but for a factor
    torch.testing.assert_close(maps.respond(inputs, (2, 3))[0, 0], expected)


def test_windows_share_one_set_of_weights_and_padding_does_not_count():
    inputs = torch.rand(1, 2, 4, 6)
    whole, parts = (ResponseMaps(Model([1.0, 0.5]), label=1) for _ in range(2))
    whole.weigh(inputs, (4, 4))
    parts.weigh(inputs[..., :2], (4, 2))
    parts.weigh(inputs[..., 2:], (4, 2))
    torch.testing.assert_close(parts.weights, whole.weights)
    torch.testing.assert_close(
        parts.respond(inputs, (4, 4)), ResponseMaps.respond(whole, inputs, (4, 4))
    )


def test_a_class_that_is_predicted_nowhere_gets_no_response():
    maps = ResponseMaps(Model([-1.0, -1.0]), label=1)
    maps.weigh(torch.rand(1, 2, 2, 3) + 1, (2, 3))
    assert maps.respond(torch.rand(1, 2, 2, 3), (2, 3)).eq(0).all()


def test_the_stages_of_a_branch_are_added_up_before_what_is_below_0_goes():
    class Both(Head):
        def predict(self, features, metas, test_cfg):
            score = features[0].sum(dim=1) / 100 - features[1][:, 1]
            return torch.stack([torch.zeros_like(score), score], dim=1)

    model = Model([0.0, 0.0])
    model.decode_head = Both([0.0, 0.0])
    inputs = torch.tensor([[[[3.0, 0.0]], [[1.0, 2.0]]]])
    found = {}
    for stage in (1, 2, None):
        maps = ResponseMaps(model, label=1, stage=stage)
        maps.weigh(inputs, (1, 2))
        found[stage] = maps.respond(inputs, (1, 2))[0, 0, 0].tolist()
    # only the first pixel is predicted: a + b - b; alpha is 0.01 of 100 times a map, and 0 and -1
    assert found == {1: [4, 2], 2: [0, 0], None: [3, 0]}


def test_a_stage_that_the_head_does_not_use_is_refused():
    inputs = torch.rand(1, 2, 2, 3)
    with pytest.raises(ValueError, match='Stage 1 of the 2 maps of the fused branch .* one of 2'):
        ResponseMaps(Model([1.0, 1.0]), label=1, stage=1).weigh(inputs, (2, 3))
    ResponseMaps(Model([1.0, 1.0]), label=1, stage=2).weigh(inputs, (2, 3))


@pytest.mark.parametrize('gated', [True, False])
def test_the_streams_of_mobanet_respond_as_their_gradients_say(gated):
    """A gate of 1/2 that looks at nothing yet hands both streams one gradient, as a mean does."""
    torch.manual_seed(0)
    config = tiny_model()
    config.neck.gated = gated
    model = MODELS.build(config).eval()
    maps = ResponseMaps(model, label=0)
    with torch.no_grad():
        model.decode_head.conv_seg.bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    inputs = torch.rand(2, 4, 28, 42)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    logits = maps.weigh(inputs, (28, 42))
    with torch.no_grad():
        torch.testing.assert_close(logits, model.encode_decode(inputs, [{}]))
    assert maps.branches == BRANCHES
    torch.testing.assert_close(maps.weights['rgb'], maps.weights['aux'])
    assert list(maps.weights['rgb']) == [0, 1, 2, 3]
    responses = maps.respond(inputs, (28, 42))
    assert responses.shape == (2, 3, 28, 42)
    assert responses.amax() > 0
    assert all(parameter.grad is None for parameter in model.parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


NETWORKS = {
    'cmgfnet/cmgfnet_potsdam': ('rgb', 'aux'),
    'cmfnet/cmfnet_potsdam': ('fused',),
    'ftransunet/ftransunet_potsdam': ('fused',),
    'manet/manet_potsdam': ('fused',),
    'unetformer/unetformer_potsdam': ('fused',),
    'mixing/two_stream_r50_deeplabv3plus': BRANCHES,
    'mixing/vit_b_fpn_head': BRANCHES,
    'segformer/segformer_b0_potsdam_rgb-dsm': ('fused',),
}


@pytest.mark.parametrize('name', NETWORKS)
def test_other_networks_have_the_branches_that_they_have(name):
    model = MODELS.build(toy(Config.fromfile(ROOT / 'configs' / f'{name}.py'))).eval()
    channels = len(model.data_preprocessor.mean)
    side = 64 // model.data_preprocessor.size_divisor * model.data_preprocessor.size_divisor
    inputs = torch.rand(1, channels, side, side)
    with torch.no_grad():
        label = model.encode_decode(inputs, [{}]).mean(dim=(0, 2, 3)).argmax().item()
    maps = ResponseMaps(model, label)
    maps.weigh(inputs, inputs.shape[-2:])
    assert maps.branches == NETWORKS[name]
    responses = maps.respond(inputs, inputs.shape[-2:])
    assert responses.shape == (1, len(maps.branches), *inputs.shape[-2:])
    assert responses.isfinite().all()
