import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.encoders import run, tiny_sam
from scenes.fingerprints import Fingerprint, check, count, model_base
from scenes.models import samples, tiny_vit

from mobanet_mmseg.engine.complexity import build_without_memory, count_parameters
from mobanet_mmseg.models.compared.manet import LowRank, MANet, Mixture

EXPECTED = {
    'adapter': Fingerprint(
        -0.036171433, 0.34654449, 1.0488884, -0.0090056013, -0.16801561, (64447, 1089, 0, 0, 0, 0)
    ),
    'lora': Fingerprint(
        -0.0361863, 0.34744901, 1.0500532, -0.0090028681, -0.16802082, (64387, 1149, 0, 0, 0, 0)
    ),
}
TUNED = {'adapter': 14_201_880, 'lora': 1_032_240}
BOTH = pytest.mark.parametrize('tuning', ['adapter', 'lora'])


def backbone(**overrides) -> MANet:
    config = dict(encoder=tiny_sam(neck_channels=16), allow_random_encoder=True)
    return MANet(**{**config, **overrides})


@BOTH
def test_counts(tuning):
    config = model_base('manet')
    config.backbone.tuning = tuning
    network = build_without_memory(Config(dict(model=config)))
    parts = {name: part.trainable for name, part in count_parameters(network).items()}
    assert parts == {
        'backbone.encoder': 0,
        'backbone.tuners': TUNED[tuning],
        'backbone.pyramid_rgb': 787_712,
        'backbone.pyramid_aux': 787_712,
        'backbone.fusions': 4 * 16_928,
        'decode_head': 515_102,
    }
    total = {'adapter': 16_360_118, 'lora': 3_190_478}[tuning]
    assert count(network) == total
    unused = 6_220 + 4_058_340  # SAM's prompt encoder and mask decoder
    assert total + unused == {'adapter': 20_424_678, 'lora': 7_255_038}[tuning]
    assert sum(value.numel() for value in network.parameters()) == total + 89_670_912


@pytest.mark.slow
@BOTH
def test_logits_are_the_public_implementations(tuning):
    config = model_base('manet')
    config.backbone.update(tuning=tuning, allow_random_encoder=True)
    check(config, EXPECTED[tuning])


@BOTH
def test_every_parameter_but_the_encoders_learns_on_a_rectangle(tuning):
    config = model_base('manet')
    config.backbone.update(
        encoder=tiny_sam(neck_channels=16), tuning=tuning, allow_random_encoder=True
    )
    config.decode_head.update(in_channels=[16] * 4, channels=8)
    network = MODELS.build(config).train()
    assert not network.backbone.encoder.training
    inputs, labels = torch.rand(2, 4, 96, 64), torch.randint(0, 6, (2, 96, 64))
    network.loss(inputs, samples(labels))['decode.loss_ce'].backward()
    learns = {name for name, value in network.named_parameters() if value.grad is not None}
    everything = {name for name, _ in network.named_parameters()}
    assert everything - learns == {name for name in everything if 'backbone.encoder.' in name}


def test_lora_starts_from_sams_own_features():
    model = backbone(tuning='lora').eval()
    model.init_weights()
    model.pyramid_rgb.forward = model.pyramid_aux.forward = list
    inputs = torch.rand(2, 4, 32, 48)
    with torch.no_grad():
        for level, fuse in zip(model(inputs), model.fusions, strict=True):
            streams = (inputs[:, :3], inputs[:, 3:].repeat(1, 3, 1, 1))
            taps = [run(model.encoder, stream, (3,))[0] for stream in streams]
            torch.testing.assert_close(level, fuse(*taps))


def test_untrained_adapters_of_zero_leave_sams_own_features():
    model = backbone().eval()
    model.init_weights()
    for tuner in model.tuners:
        for parameter in tuner.parameters():
            torch.nn.init.zeros_(parameter)
    model.pyramid_rgb.forward = model.pyramid_aux.forward = list
    inputs = torch.rand(1, 6, 32, 48)
    model.modality_channels = (3, 3)
    with torch.no_grad():
        taps = [run(model.encoder, stream, (3,))[0] for stream in inputs.split(3, dim=1)]
        torch.testing.assert_close(model(inputs)[2], model.fusions[2](*taps))


def test_each_modality_mixes_by_its_own_number():
    mixture = Mixture()
    rgb, aux = torch.rand(2, 3, 5)
    torch.testing.assert_close(mixture(rgb, aux), torch.cat([(rgb + aux) / 2] * 2))
    mixture.rgb.data.fill_(0.75)
    mixture.aux.data.fill_(1.0)
    torch.testing.assert_close(mixture(rgb, aux), torch.cat([0.75 * rgb + 0.25 * aux, aux]))


def test_maps_of_low_rank_start_as_zero_and_follow_one_another():
    maps = LowRank(3, 2, 5, num_maps=2)
    inputs = torch.rand(4, 3)
    assert not maps(inputs).any()
    torch.nn.init.normal_(maps.up)
    first = inputs @ (maps.up[:5] @ maps.down[:2]).T
    second = inputs @ (maps.up[5:] @ maps.down[2:]).T
    torch.testing.assert_close(maps(inputs), torch.cat([first, second], dim=-1))


def test_levels_are_of_four_strides():
    maps = backbone().eval()(torch.rand(1, 4, 64, 96))
    assert [tuple(level.shape) for level in maps] == [
        (1, 16, 16, 24),
        (1, 16, 8, 12),
        (1, 16, 4, 6),
        (1, 16, 2, 3),
    ]


def test_sams_weights_come_with_their_neck_and_stay_bit_equal(tmp_path):
    source = backbone().encoder
    torch.save(source.vit.state_dict(), tmp_path / 'sam.pth')
    pretrained = dict(type='Pretrained', checkpoint=str(tmp_path / 'sam.pth'))
    model = backbone(
        encoder=tiny_sam(neck_channels=16, init_cfg=pretrained), allow_random_encoder=False
    )
    with pytest.raises(RuntimeError, match='never given weights'):
        model(torch.rand(1, 4, 32, 32))
    model.init_weights()
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    sum(level.square().mean() for level in model(torch.rand(1, 4, 32, 32))).backward()
    optimizer.step()
    for name, value in model.encoder.vit.state_dict().items():
        assert value.equal(source.vit.state_dict()[name])


def test_what_manet_cannot_tune_is_refused():
    with pytest.raises(ValueError, match=r"a DINOv2 as its encoder; .* encoder=dict\(type='SAM'"):
        backbone(encoder=tiny_vit())
    with pytest.raises(ValueError, match=r'modality_channels=\(3, 2\); .* of 1 or 3 channels'):
        backbone(modality_channels=(3, 2))
    with pytest.raises(ValueError, match="tuning='prompt'; it is 'adapter' or 'lora'"):
        backbone(tuning='prompt')
    with pytest.raises(ValueError, match='MANet got 32 x 40 pixels, not multiples'):
        backbone()(torch.rand(1, 4, 32, 40))
