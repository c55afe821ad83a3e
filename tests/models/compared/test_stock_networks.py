"""U-Net and PSPNet, which MMSegmentation has: configured, not written."""

import pytest
import torch
from mmseg.registry import MODELS
from scenes.fingerprints import (
    Fingerprint,
    build_double,
    check,
    count,
    fill,
    fingerprint,
    images,
    model_base,
)

NETWORKS = ('unet', 'pspnet_r101')


def build(name):
    return MODELS.build(dict(model_base(name), pretrained=None))


def test_unet_has_the_classic_widths():
    model = build('unet')
    assert count(model) == 31_039_878
    # the classic network has no norm behind its transposed convolutions
    norms = sum(2 * width for width in (512, 256, 128, 64))
    assert count(model) - norms == 31_037_958


def test_pspnet_is_mmsegs_and_an_auxiliary_head():
    model = build('pspnet_r101')
    assert count(model) == 67_957_612
    assert count(model.auxiliary_head) == 2_361_350
    assert count(model.backbone) == 42_519_392


def test_unet_gives_the_numbers_of_mmsegs():
    expected = Fingerprint(
        -0.34368825, 16.003549, 57.719962, 0.46767973, -4.5463055, (38651, 26885, 0, 0, 0, 0)
    )
    check(dict(model_base('unet')), expected)


def test_pspnet_gives_the_numbers_of_mmsegs_before_they_are_resized():
    expected = Fingerprint(
        735276.97, 1119450.2, 381079.14, 338043.04, 27270.008, (937, 87, 0, 0, 0, 0)
    )
    model = fill(build_double(dict(model_base('pspnet_r101'), pretrained=None)))
    with torch.no_grad():
        given = fingerprint(model(images(3), mode='tensor'))
    assert given[:5] == pytest.approx(expected[:5], rel=5e-6)
    assert given.histogram == expected.histogram


@pytest.mark.parametrize('name', NETWORKS)
def test_a_rectangle_that_is_no_multiple_goes_through(name):
    model = build(name).eval()
    inputs = torch.rand(1, 3, 76, 52)
    with torch.no_grad():
        given = model.encode_decode(inputs, [dict(img_shape=(76, 52))])
    assert given.shape == (1, 6, 76, 52)
