from itertools import pairwise

import pytest
import torch

from mobanet_mmseg.models.mcrm import MCRM


def masked_modalities(before, after):
    """For each sample, which modality changed: '', 'rgb', 'aux' or 'rgbaux'."""
    changed = (before != after).flatten(2).any(dim=2)
    return ['rgb' * bool(c[:3].any()) + 'aux' * bool(c[3:].any()) for c in changed]


@pytest.mark.parametrize(('batch', 'ratio', 'count'), [(12, 0.25, 3), (7, 0.5, 3), (3, 0.25, 0)])
def test_floor_of_the_ratio_is_masked_and_split_evenly(batch, ratio, count):
    images = torch.rand(batch, 4, 24, 36) + 1
    mcrm = MCRM((3, 1), ratio)
    for _ in range(100):
        found = masked_modalities(images, mcrm(images))
        assert found.count('') == batch - count
        assert found.count('rgbaux') == 0
        assert abs(found.count('rgb') - found.count('aux')) == count % 2


def test_the_odd_sample_goes_to_either_modality():
    images = torch.rand(4, 4, 24, 36) + 1
    found = [masked_modalities(images, MCRM((3, 1))(images)) for _ in range(200)]
    share = sum('rgb' in sample for sample in found) / 200
    assert 0.35 < share < 0.65  # one half, 4 standard deviations either side


def test_one_rectangle_of_zeros_within_the_area_and_aspect_asked_for():
    images = torch.rand(1, 4, 100, 140) + 1
    for _ in range(100):
        masked = MCRM((3, 1), ratio=1.0)(images)
        zeros = (masked == 0).any(dim=1)[0]
        rows, columns = zeros.any(dim=1).nonzero(), zeros.any(dim=0).nonzero()
        height = int(rows.max() - rows.min()) + 1
        width = int(columns.max() - columns.min()) + 1
        assert int(zeros.sum()) == height * width  # one filled rectangle
        assert 0.095 <= height * width / zeros.numel() <= 0.305  # sides are whole pixels
        assert 0.48 <= height / width <= 2.1
        kept = torch.where(masked == 0, images, masked)
        assert torch.equal(kept, images)


def test_input_stays_as_it_was_and_the_seed_decides():
    images = torch.rand(8, 4, 24, 36) + 1
    before = images.clone()
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(MCRM((3, 1))(images))
    assert torch.equal(images, before)
    assert [torch.equal(a, b) for a, b in pairwise(draws)] == [True, False]


def test_ratio_outside_zero_to_one_is_refused():
    with pytest.raises(ValueError, match='ratio=1.5'):
        MCRM((3, 1), ratio=1.5)
