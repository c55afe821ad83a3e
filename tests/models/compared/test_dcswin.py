import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.models.utils.embed import PatchMerging
from mmseg.registry import MODELS
from scenes.fingerprints import Fingerprint, count, fill, fingerprint, images, logits, model_base
from torch import Tensor

from mobanet_mmseg.models.compared.dcswin import DCSwin, DCSwinHead

EXPECTED = Fingerprint(
    0.060358204, 0.30894892, 0.81223337, -0.39913416, -0.1174595, (63574, 0, 0, 0, 1962, 0)
)
TINY = dict(
    embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=3, frozen_stages=1
)


@pytest.fixture(scope='module')
def network() -> torch.nn.Module:
    init_default_scope('mmseg')
    config = model_base('dcswin')
    config.backbone.init_cfg = None
    return MODELS.build(config)


def test_counts(network):
    backbone, head = network.backbone, network.decode_head
    assert count(network) == 118_392_690  # the paper's 118.39 M are those that are trained
    assert sum(value.numel() for value in network.parameters()) == 118_929_210
    assert sum(value.numel() for value in backbone.parameters()) == 86_745_016
    frozen = 6_528 + 529_992  # patch embedding; first stage, and the merging behind it
    assert count(backbone) == 86_745_016 - frozen
    assert count(head) == 32_184_194
    parts = {name: count(part) for name, part in head.named_children()}
    assert parts == {
        'loss_decode': 0,
        'dropout': 0,
        'conv1': 16_384,
        'conv4': 1_048_576,
        'down12': 1_181_184,
        'down23_of1': 4_721_664,
        'down23_of2': 4_721_664,
        'down34': 18_880_512,
        'pixel_attention': 328_321,
        'channel_attention': 1,
        'up4': 670_720,
        'up3': 171_520,
        'up2': 295_168,
        'last_conv': 148_480 - 768,
        'conv_seg': 768,
    }


def unfolded(values: Tensor) -> Tensor:
    """Reorder the last axis of a patch merging from the original Swin's order to MMSeg's.

    The original stacks the four pixels of a patch down its columns, each with its C channels; MMSeg
    unfolds each channel's four pixels along the rows.
    """
    return values.unflatten(-1, (2, 2, -1)).movedim(-1, -3).mT.flatten(-3)


def test_unfolded_is_the_rule_of_mmsegs_converter():
    given = unfolded(torch.arange(8))
    assert given.tolist() == [0, 4, 2, 6, 1, 5, 3, 7]


def test_logits_are_the_public_implementations(network):
    fill(network)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, PatchMerging):
                for values in (module.norm.weight, module.norm.bias, module.reduction.weight):
                    values.copy_(unfolded(values))
    given = fingerprint(logits(network, images(3)))
    assert given[:5] == pytest.approx(EXPECTED[:5], rel=5e-6)
    assert given.histogram == EXPECTED.histogram


def test_frozen_from_the_start_but_for_the_norms_of_the_maps():
    backbone = DCSwin(**TINY)
    frozen = {name for name, value in backbone.named_parameters() if not value.requires_grad}
    assert {name.split('.')[0] for name in frozen} == {'patch_embed', 'stages'}
    assert frozen == {
        name
        for name, _ in backbone.named_parameters()
        if name.startswith(('patch_embed.', 'stages.0.'))
    }
    backbone.train()
    after = {name for name, value in backbone.named_parameters() if not value.requires_grad}
    assert after == frozen


def test_a_rectangle_goes_through():
    backbone, head = (
        DCSwin(**TINY).eval(),
        DCSwinHead([8, 16, 32, 64], 8, in_index=[0, 1, 2, 3], num_classes=6).eval(),
    )
    assert head(backbone(torch.rand(1, 3, 64, 96))).shape == (1, 6, 16, 24)
