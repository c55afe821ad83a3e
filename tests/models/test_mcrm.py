from itertools import pairwise

import numpy as np
import pytest
import torch
from mmcv.transforms.utils import cache_random_params
from mmseg.registry import TRANSFORMS

from mobanet_mmseg.models.mcrm import MCRM, MCRMTransform, sample_rectangle

FILL = (1.0, 2.0, 3.0, 0.5)


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


def test_processes_mask_what_one_does_with_the_samples_of_all(monkeypatch):
    images, mcrm = torch.rand(6, 4, 24, 36) + 1, MCRM((3, 1), whole_ratio=0.34)
    torch.manual_seed(1)
    whole = mcrm(images)  # 1 and 2 of 6, where 3 processes would mask none of their 2
    torch.manual_seed(1)
    drawn, parts = torch.randint(2**31, ()), []
    monkeypatch.setattr('mobanet_mmseg.models.mcrm.broadcast', lambda seed: seed.copy_(drawn))
    for rank in range(3):
        place = (rank, 3)
        monkeypatch.setattr('mobanet_mmseg.models.mcrm.get_dist_info', lambda place=place: place)
        parts.append(mcrm(images[rank::3]))
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole)
    assert not torch.equal(whole, images)


def lost_wholly(before, after):
    """For each sample, which modality is 0 everywhere: '', 'rgb' or 'aux'."""
    gone = ~after.flatten(2).any(dim=2)
    return ['rgb' * bool(c[:3].all()) + 'aux' * bool(c[3:].all()) for c in gone]


@pytest.mark.parametrize(
    ('batch', 'ratio', 'whole_ratio', 'boxes', 'whole'),
    [(12, 0.25, 0.25, 3, 3), (7, 0.5, 0.5, 3, 3), (8, 0.0, 0.5, 0, 4), (4, 0.0, 1.0, 0, 4)],
)
def test_other_samples_lose_a_modality_wholly(batch, ratio, whole_ratio, boxes, whole):
    images = torch.rand(batch, 4, 24, 36) + 1
    mcrm = MCRM((3, 1), ratio, whole_ratio=whole_ratio)
    for _ in range(100):
        masked = mcrm(images)
        lost, found = lost_wholly(images, masked), masked_modalities(images, masked)
        assert found.count('') == batch - boxes - whole  # never two masks on one sample
        assert found.count('rgbaux') == 0
        assert lost.count('') == batch - whole
        assert abs(lost.count('rgb') - lost.count('aux')) == whole % 2
        assert abs(found.count('rgb') - found.count('aux')) <= boxes % 2 + whole % 2


def test_the_odd_whole_sample_is_of_either_modality():
    images = torch.rand(2, 4, 12, 18) + 1
    mcrm = MCRM((3, 1), ratio=0, whole_ratio=0.5)
    share = sum('rgb' in lost_wholly(images, mcrm(images)) for _ in range(200)) / 200
    assert 0.35 < share < 0.65  # one half, 4 standard deviations either side


def test_whole_masks_leave_the_draws_of_the_rectangles_as_they_are():
    images, drawn = torch.ones(4, 4, 24, 36), []
    for whole_ratio in (0.0, 0.5):
        torch.manual_seed(5)
        drawn.append(MCRM((3, 1), 0.5, whole_ratio=whole_ratio)(images) == 0)
    expected = torch.zeros(4, 4, 24, 36, dtype=torch.bool)
    expected[1, 3:, 8:21, 16:32] = True
    expected[3, :3, 6:20, 20:36] = True
    assert torch.equal(drawn[0], expected)
    assert (drawn[1] & expected).equal(expected)


def test_what_has_no_other_modality_is_not_lost():
    images = torch.rand(8, 4, 12, 18) + 1
    images[:3, 3] = 0  # missing heights
    images[5, :3] = 0
    for _ in range(20):
        masked = MCRM((3, 1), ratio=0, whole_ratio=1)(images)
        found = masked_modalities(images, masked)
        assert set(found[:3]) == {''} and found[5] == ''
        assert '' not in (found[3], found[4], found[6], found[7])


def test_the_transform_masks_wholly_what_it_would_have_left():
    drawn = []
    for whole_ratio in (0.0, 0.1):
        transform = mask_of(ratio=0.5, whole_ratio=whole_ratio)
        np.random.seed(0)  # 0.5488 comes first: above the ratio
        drawn.append(transform.draw(24, 36))
    assert drawn[0] is None
    assert drawn[1] == (slice(3, None), (0, 0, 24, 36))


def test_rectangles_lie_within_the_image_and_whole_masks_cover_its_padding():
    images = torch.ones(8, 4, 28, 42)
    for _ in range(20):
        masked = MCRM((3, 1), 0.5, whole_ratio=0.5)(images, (20, 30))
        lost = lost_wholly(images, masked)
        assert lost.count('') == 4
        kept = torch.tensor([not name for name in lost])
        assert masked[kept][..., 20:, :].all() and masked[kept][..., 30:].all()


def test_whole_masks_of_the_transform_are_as_many_as_asked_for_and_of_either_modality():
    np.random.seed(0)
    image = np.full((12, 16, 4), 9, np.float32)
    transform = MCRMTransform((3, 1), FILL, ratio=0.25, whole_ratio=0.25)
    masked = [transform({'img': image})['img'] == FILL for _ in range(2000)]
    whole = np.mean([found[..., :3].all() or found[..., 3].all() for found in masked])
    assert abs(whole - 0.25) < 0.03
    assert abs(np.mean([found.any() for found in masked]) - 0.5) < 0.04
    assert abs(np.mean([found[..., 3].all() for found in masked]) - 0.125) < 0.025


def test_input_stays_as_it_was_and_the_seed_decides():
    images = torch.rand(8, 4, 24, 36) + 1
    before = images.clone()
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(MCRM((3, 1))(images))
    assert torch.equal(images, before)
    assert [torch.equal(a, b) for a, b in pairwise(draws)] == [True, False]


def mask_of(**settings):
    return MCRMTransform(**{'modality_channels': (3, 1), 'fill': FILL, 'ratio': 1, **settings})


def test_one_rectangle_of_one_modality_holds_the_means():
    image = np.random.default_rng(0).uniform(10, 20, (48, 60, 4)).astype(np.float32)
    before, masked_modalities = image.copy(), []
    for seed in range(100):
        np.random.seed(seed)
        masked = mask_of()({'img': image})['img']
        changed = (masked != image).any(axis=(0, 1))
        assert changed.tolist() in ([True] * 3 + [False], [False] * 3 + [True])
        channels = np.flatnonzero(changed)
        where = (masked != image)[..., channels]
        assert (where == where[..., :1]).all()  # one rectangle for all channels
        rows, cols = np.flatnonzero(where.any((1, 2))), np.flatnonzero(where.any((0, 2)))
        box = masked[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1, channels]
        assert (box == np.array(FILL, np.float32)[channels]).all()
        assert where[..., 0].sum() == len(rows) * len(cols)
        assert 0.1 - 0.02 <= len(rows) * len(cols) / (48 * 60) <= 0.3 + 0.02
        assert 0.5 * 0.9 <= len(rows) / len(cols) <= 2 * 1.1
        masked_modalities.append(changed[0])
    np.testing.assert_array_equal(image, before)
    assert 30 <= sum(masked_modalities) <= 70


def test_a_quarter_of_the_samples_is_masked():
    np.random.seed(0)
    image = np.full((12, 16, 4), 9, np.float32)
    transform = MCRMTransform((3, 1), FILL)
    share = np.mean([transform({'img': image})['img'] is not image for _ in range(2000)])
    assert abs(share - 0.25) < 0.03


def test_images_that_share_their_randomness_are_masked_alike():
    transform, image = mask_of(), np.full((12, 16, 4), 9, np.float32)
    with cache_random_params(transform):
        first, second = (transform({'img': image})['img'] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'fill': (1, 2)}, 'one per channel'),
        ({'modality_channels': (3,)}, 'one of two modalities'),
        ({'ratio': 1.5}, 'a fraction'),
        ({'whole_ratio': -0.1}, 'no rectangle masks: 0 to 0'),
        ({'ratio': 0.4, 'whole_ratio': 0.7}, 'whole_ratio=0.7 beside ratio=0.4; .*: 0 to 0.6'),
        ({'area_ratio': (0, 0.3)}, 'give .least, greatest.'),
        ({'area_ratio': (0.1, 1.1)}, 'give .least, greatest.'),
        ({'aspect_ratio': (2, 1)}, 'give .least, greatest.'),
        ({'area_ratio': (0.3, 0.1)}, 'give .least, greatest.'),
        ({'aspect_ratio': (0, 1)}, 'give .least, greatest.'),
    ],
)
def test_arguments_that_do_not_fit_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        mask_of(**settings)
    if 'fill' not in settings:
        with pytest.raises(ValueError, match=said):
            MCRM(**{'modality_channels': (3, 1), **settings})


def test_an_image_of_other_channels_is_refused():
    with pytest.raises(ValueError, match='expects 4 channels, the image has 3'):
        mask_of()({'img': np.zeros((4, 5, 3), np.float32)})


def test_the_former_name_says_the_new_one_and_masks_the_same():
    image = np.full((12, 16, 4), 9, np.float32)
    with pytest.warns(FutureWarning, match=r"now called MCRM: write type='MCRM', ratio=0\.7\."):
        former = TRANSFORMS.build(
            dict(type='ModalityRandomMask', modality_channels=(3, 1), fill=FILL, prob=0.7)
        )
    today = TRANSFORMS.build(dict(type='MCRM', modality_channels=(3, 1), fill=FILL, ratio=0.7))
    for seed in range(20):
        masked = []
        for transform in (former, today):
            np.random.seed(seed)
            masked.append(transform({'img': image})['img'])
        np.testing.assert_array_equal(*masked)


@pytest.mark.parametrize('rng_of', [np.random.default_rng, np.random.RandomState])
def test_a_rectangle_lies_inside_with_its_area_and_aspect(rng_of):
    for seed in range(100):
        y, x, h, w = sample_rectangle(60, 90, (0.1, 0.3), (0.5, 2.0), rng_of(seed))
        assert y >= 0 and x >= 0 and y + h <= 60 and x + w <= 90
        assert 0.1 * 5400 - h / 2 <= h * w <= 0.3 * 5400 + h / 2  # w is rounded once
        assert 0.5 - 0.05 <= h / w <= 2 + 0.1


def test_a_rectangle_reaches_every_corner_of_the_image():
    rng = np.random.default_rng(0)
    boxes = np.array([sample_rectangle(12, 20, (0.1, 0.3), (0.5, 2), rng) for _ in range(2000)])
    y, x, h, w = boxes.T
    assert y.min() == 0 and x.min() == 0 and (y + h).max() == 12 and (x + w).max() == 20


def test_the_area_wins_where_the_aspect_does_not_fit():
    y, x, h, w = sample_rectangle(10, 100, (0.5, 0.5), (4.0, 4.0), np.random.default_rng(0))
    assert (y, h, w) == (0, 10, 50) and 0 <= x <= 50


def test_the_whole_image_can_be_the_rectangle():
    box = sample_rectangle(7, 11, (1.0, 1.0), (0.5, 2.0), np.random.default_rng(3))
    assert box == (0, 0, 7, 11)
