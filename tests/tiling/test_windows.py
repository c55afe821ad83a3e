import tracemalloc

import numpy as np
import pytest

from mobanet_mmseg.tiling.windows import Tiling, Window, by_block, plan_strips, share_strips


def mmseg_windows(height, width, window, stride):
    """The windows of MMSeg 1.2.2's EncoderDecoder.slide_inference, by its own arithmetic."""
    rows = max(height - window[0] + stride[0] - 1, 0) // stride[0] + 1
    columns = max(width - window[1] + stride[1] - 1, 0) // stride[1] + 1
    windows = []
    for row in range(rows):
        for column in range(columns):
            y2 = min(row * stride[0] + window[0], height)
            x2 = min(column * stride[1] + window[1], width)
            y1, x1 = max(y2 - window[0], 0), max(x2 - window[1], 0)
            windows.append((y1, x1, y2 - y1, x2 - x1))
    return windows


def window_grid(height, width, window, stride, batch_size=1):
    strips = plan_strips(height, width, Tiling(window, stride, batch_size))
    return [window for strip in strips for window in strip.windows]


def test_last_window_is_moved_back_inside():
    assert window_grid(5, 7, window=(5, 4), stride=(1, 2)) == [
        (0, 0, 5, 4),
        (0, 2, 5, 4),
        (0, 3, 5, 4),
    ]


def test_small_image_gets_one_window_of_its_own_size():
    assert window_grid(3, 5, window=(8, 16), stride=(4, 4)) == [(0, 0, 3, 5)]


def test_rows_come_before_columns():
    assert window_grid(4, 6, window=(2, 3), stride=(2, 3)) == [
        (0, 0, 2, 3),
        (0, 3, 2, 3),
        (2, 0, 2, 3),
        (2, 3, 2, 3),
    ]


@pytest.mark.parametrize('height', [1, 7, 8, 9, 12, 13, 31])
@pytest.mark.parametrize('stride', [(1, 2), (3, 5), (8, 6)])
@pytest.mark.parametrize('batch_size', [1, 7, 1000])
def test_grid_is_that_of_mmseg_and_covers_each_pixel(height, stride, batch_size):
    grid = window_grid(height, 17, (8, 6), stride, batch_size)
    assert grid == mmseg_windows(height, 17, (8, 6), stride)
    assert len(set(grid)) == len(grid)
    covered = np.zeros((height, 17), bool)
    for window in grid:
        covered[window.rows, window.cols] = True
    assert covered.all()


def test_stride_beyond_the_window_is_refused():
    with pytest.raises(ValueError, match='stride of 9 pixels leaves holes between windows of 8'):
        window_grid(20, 30, (8, 8), (9, 8))


@pytest.mark.parametrize(
    ('window', 'stride', 'batch_size'),
    [((0, 4), (1, 1), 1), ((4, 4), (1, 0), 1), ((4, 4), (1, 1), 0)],
)
def test_empty_windows_steps_and_batches_are_refused(window, stride, batch_size):
    with pytest.raises(ValueError, match='at least 1'):
        Tiling(window, stride, batch_size)


def test_an_empty_image_is_refused():
    with pytest.raises(ValueError, match='at least 1 pixel, but this one is 0'):
        plan_strips(0, 5, Tiling((4, 4), (2, 2)))


def test_an_unknown_blend_is_refused():
    with pytest.raises(ValueError, match="blend='hann'; it is 'gaussian', 'cosine' or None"):
        Tiling((4, 4), (2, 2), blend='hann')


def test_a_tiling_is_read_from_a_test_cfg():
    test_cfg = dict(mode='slide', crop_size=[8, 6], stride=[4, 3], batch_size=2, blend='cosine')
    assert Tiling.of(test_cfg) == Tiling((8, 6), (4, 3), 2, 'cosine')
    assert Tiling.of(dict(crop_size=(8, 6), stride=(4, 3))) == Tiling((8, 6), (4, 3), 1, None)


def test_strips_of_a_small_image_by_hand():
    first, second, third = plan_strips(9, 4, Tiling((4, 4), (3, 4)))
    for strip, window, read, done in (
        (first, (0, 0, 4, 4), (0, 0, 4, 4), (0, 0, 3, 4)),
        (second, (3, 0, 4, 4), (4, 0, 3, 4), (3, 0, 2, 4)),
        (third, (5, 0, 4, 4), (7, 0, 2, 4), (5, 0, 4, 4)),
    ):
        assert (strip.windows, strip.read, strip.done) == ([window], read, done)


def test_a_strip_holds_rows_of_windows_until_a_batch_is_full():
    strips = plan_strips(10, 6, Tiling((4, 4), (2, 2), batch_size=5))  # 4 rows of 2 windows
    assert [len(strip.windows) for strip in strips] == [4, 4]
    assert [strip.touched for strip in strips] == [(0, 0, 6, 6), (4, 0, 6, 6)]


@pytest.mark.parametrize('height', [1, 7, 9, 40, 41])
@pytest.mark.parametrize('stride', [1, 3, 8])
@pytest.mark.parametrize('batch_size', [1, 20])
@pytest.mark.parametrize('world_size', [1, 2, 3, 7])
def test_shares_together_do_each_row_once_and_run_all_windows_over_it(
    height, stride, batch_size, world_size
):
    strips = plan_strips(height, 13, Tiling((8, 6), (stride, 4), batch_size))
    done = []
    for rank in range(world_size):
        share = share_strips(strips, rank, world_size)
        read = [row for strip in share for row in range(strip.read.row, strip.read.bottom)]
        assert read == sorted(set(read)), 'a row is read twice'
        windows = {window for strip in share for window in strip.windows}
        for strip in share:
            done += range(strip.done.row, strip.done.bottom)
            every = [window for each in strips for window in each.windows]
            assert {window for window in every if overlaps(window, strip.done)} <= windows
        for window in windows:
            assert {*range(window.row, window.bottom)} <= set(read)
    assert done == list(range(height))


def overlaps(window, done):
    return done.height > 0 and window.row < done.bottom and window.bottom > done.row


def test_a_column_block_runs_again_only_what_reaches_over_its_edge():
    strips = plan_strips(256, 2048, Tiling((256, 256), (128, 128)), max_width=1024)
    assert [len(strip.windows) for strip in strips] == [8, 8]  # 15, and the one at 896 twice
    assert [strip.touched for strip in strips] == [(0, 0, 256, 1152), (0, 896, 256, 1152)]
    assert [strip.done for strip in strips] == [(0, 0, 256, 1024), (0, 1024, 256, 1024)]


def test_each_process_gets_its_share_of_every_column_block():
    strips = plan_strips(40, 600, Tiling((8, 8), (8, 8)), max_width=512)
    assert [len(block) for block in by_block(strips)] == [5, 5]
    first, second = (share_strips(strips, rank, 2) for rank in range(2))
    assert [strip.done for strip in first] == [
        *((0, 0, 8, 512), (8, 0, 8, 512)),
        *((0, 512, 8, 88), (8, 512, 8, 88)),
    ]
    assert [strip.done for strip in second[:3]] == [(row, 0, 8, 512) for row in (16, 24, 32)]


def test_a_window_names_its_ends():
    window = Window(row=2, col=3, height=4, width=5)
    assert (window.bottom, window.right) == (6, 8)
    assert np.zeros((9, 9))[window.rows, window.cols].shape == (4, 5)


def test_the_plan_of_a_large_image_takes_memory_for_its_sides_alone():
    tracemalloc.start()
    strips = plan_strips(100_000, 100_000, Tiling((256, 256), (128, 128)), max_width=6000)
    count = sum(len(strip.down) * len(strip.across) for strip in strips)
    assert 781 * 781 <= count < 1.1 * 781 * 781
    assert tracemalloc.get_traced_memory()[1] < 10_000_000  # as windows: 100 MB
    tracemalloc.stop()
