import math

import numpy as np
import pytest

from mobanet_mmseg.evaluation.segmentation_metric import mean_scores, percentages
from mobanet_mmseg.experiments.statistics import Summary, paired_bootstrap

BOTH = np.array([True, True])


def test_mean_and_sample_deviation_by_hand():
    found = Summary.of([1.0, 2.0, 6.0])  # deviations -2, -1, 3: 14 / 2 = 7
    assert found == (3.0, pytest.approx(math.sqrt(7)), 3)
    assert found.text() == '3.00 ± 2.65'
    assert found.scaled(10).text(1) == '30.0 ± 26.5'


def test_what_was_not_measured_is_in_no_mean():
    found = Summary.of([4.0, None, math.nan])
    assert found.mean == 4 and math.isnan(found.spread) and found.count == 1
    assert found.text() == '4.00'
    assert Summary.of([]).text() == '-'


def test_scores_of_many_matrices_at_once_are_those_of_each():
    one = np.array([[3, 1], [2, 4]])  # IoU 3/6 and 4/7, F1 6/9 and 8/11
    other = np.array([[5, 0], [0, 0]])  # the second class is nowhere
    many = mean_scores(np.stack([one, other]), BOTH)
    np.testing.assert_allclose(many['OA'], [0.7, 1])
    np.testing.assert_allclose(many['mIoU'], [(3 / 6 + 4 / 7) / 2, 1])
    np.testing.assert_allclose(many['mF1'], [(6 / 9 + 8 / 11) / 2, 1])
    named = percentages(one, ('a', 'b'), ('b',))
    assert named['mIoU'] == named['IoU.a'] == pytest.approx(50)
    assert named['mIoU_all'] == pytest.approx(50 * (3 / 6 + 4 / 7))


def test_interval_of_two_tiles_is_that_of_their_four_draws():
    """On the first tile one run is 50 points better, on the second both are right.

    Of the four draws of two tiles one has the first twice, one the second twice.
    """
    right, half = np.array([[5, 0], [0, 5]]), np.array([[0, 5], [0, 5]])
    found = paired_bootstrap(np.stack([right, right]), np.stack([half, right]), BOTH)
    assert found['OA'] == (25, 0, 50)
    # both tiles: IoU 5/10 and 10/15 against 1; the first alone: 0 and 5/10
    assert found['mIoU'] == pytest.approx((100 * (1 - (5 / 10 + 10 / 15) / 2), 0, 75))


def test_the_same_run_differs_by_nothing_and_one_tile_has_no_interval():
    tiles = np.array([[[3, 1], [2, 4]], [[1, 0], [5, 2]]])
    for found in paired_bootstrap(tiles, tiles, BOTH).values():
        assert found == (0, 0, 0)
    single = paired_bootstrap(tiles[:1], tiles[1:], BOTH)['OA']
    assert single.difference == pytest.approx(70 - 100 * 3 / 8)
    assert math.isnan(single.low) and math.isnan(single.high)


def test_the_same_seed_draws_the_same_tiles():
    tiles = np.random.default_rng(0).integers(0, 50, (2, 7, 3, 3))
    first, again, other = (
        paired_bootstrap(*tiles, np.ones(3, bool), seed=seed, resamples=500) for seed in (0, 0, 1)
    )
    assert first == again
    assert first['mIoU'].low != other['mIoU'].low


def test_left_out_classes_count_in_the_accuracy_alone():
    one, other = np.array([[[4, 0], [0, 6]]]), np.array([[[4, 0], [6, 0]]])
    found = paired_bootstrap(one, other, np.array([True, False]))
    assert found['OA'].difference == 60
    assert found['mIoU'].difference == 100 - 100 * 4 / 10  # false positives of the first class
