import numpy as np
import pytest

from mobanet_mmseg.conversion.cutting import Tile, apart, cut, split_blocks
from mobanet_mmseg.tiling.windows import Window


def between(one, other):
    """Pixels between two windows, along the rows or the columns; 0 where they touch."""
    gaps = []
    for axis in (0, 1):
        (a, b), (c, d) = ((w[axis], w[axis] + w[axis + 2]) for w in (one.window, other.window))
        gaps.append(max(c - b, a - d))
    return max(gaps)


@pytest.mark.parametrize(
    ('length', 'expected'),
    [
        (20, [(0, 10), (10, 10)]),
        (24, [(0, 10), (10, 14)]),  # a rest of 4 joins
        (25, [(0, 10), (10, 10), (20, 5)]),  # one of 5 stays
        (10, [(0, 10)]),
        (14, [(0, 14)]),
    ],
)
def test_a_rest_stays_a_tile_or_joins_the_one_before(length, expected):
    tiles = cut(10, length, tile=10, minimum=5)
    assert [(t.window.col, t.window.width) for t in tiles] == expected
    assert [t.col for t in tiles] == list(range(len(expected)))


def test_tiles_cover_each_pixel_once():
    rng = np.random.default_rng(0)
    for _ in range(50):
        tile = int(rng.integers(3, 20))
        height, width = (int(side) for side in rng.integers(tile, 90, 2))
        covered = np.zeros((height, width), int)
        for _, _, window in cut(height, width, tile, int(rng.integers(1, tile + 1))):
            covered[window.rows, window.cols] += 1
        assert (covered == 1).all()


def test_a_block_is_on_one_side_of_the_split_and_nothing_is_lost():
    tiles = cut(70, 110, tile=10, minimum=5)
    for seed in range(20):
        train, test = split_blocks(tiles, block=2, test_share=0.3, seed=seed)
        assert sorted(train + test) == tiles
        sides = [{(t.row // 2, t.col // 2) for t in side} for side in (train, test)]
        assert not sides[0] & sides[1]
        assert split_blocks(tiles, 2, 0.3, seed) == (train, test)


@pytest.mark.parametrize('share', [0.05, 0.2, 0.5, 0.9])
def test_the_share_is_met_to_half_a_block(share):
    tiles = cut(100, 120, tile=10, minimum=5)
    for seed in range(20):
        _, test = split_blocks(tiles, block=2, test_share=share, seed=seed)
        assert abs(sum(t.area for t in test) - share * 100 * 120) <= 400 / 2


def test_neither_side_is_empty_however_small_or_large_the_share():
    tiles = cut(10, 20, tile=10, minimum=5)
    for share in (0.01, 0.99):
        train, test = split_blocks(tiles, block=1, test_share=share, seed=0)
        assert len(train) == len(test) == 1


def test_the_gap_lies_between_each_training_and_each_test_tile():
    tiles = cut(90, 130, tile=10, minimum=5)
    for gap in (0, 1, 10, 11):
        train, test = split_blocks(tiles, block=3, test_share=0.2, seed=1)
        kept = apart(train, test, gap)
        assert set(kept) == {t for t in train if min(between(t, o) for o in test) >= gap}
        assert (len(kept) == len(train)) == (gap == 0)


def test_the_gap_counts_the_pixels_between():
    near, far, test = (Tile(0, i, Window(0, col, 4, 4)) for i, col in enumerate((5, 9, 0)))
    assert apart([near, far], [test], 1) == [near, far]
    assert apart([near, far], [test], 2) == [far]
