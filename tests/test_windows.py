import pytest

from mobanet_mmseg.inference.windows import window_grid


def mmseg_windows(height, width, window, stride):
    """The windows of MMSeg 1.2.2's EncoderDecoder.slide_inference, by its own arithmetic."""
    rows = max(height - window[0] + stride[0] - 1, 0) // stride[0] + 1
    columns = max(width - window[1] + stride[1] - 1, 0) // stride[1] + 1
    windows = []
    for row in range(rows):
        for column in range(columns):
            y2 = min(row * stride[0] + window[0], height)
            x2 = min(column * stride[1] + window[1], width)
            windows.append((max(y2 - window[0], 0), max(x2 - window[1], 0), y2, x2))
    return windows


def test_last_window_is_moved_back_inside():
    assert window_grid(5, 7, window=(5, 4), stride=(1, 2)) == [
        (0, 0, 5, 4),
        (0, 2, 5, 6),
        (0, 3, 5, 7),
    ]


def test_small_image_gets_one_window_of_its_own_size():
    assert window_grid(3, 5, window=(8, 16), stride=(4, 4)) == [(0, 0, 3, 5)]


def test_rows_come_before_columns():
    assert window_grid(4, 6, window=(2, 3), stride=(2, 3)) == [
        (0, 0, 2, 3),
        (0, 3, 2, 6),
        (2, 0, 4, 3),
        (2, 3, 4, 6),
    ]


@pytest.mark.parametrize('height', [1, 7, 8, 9, 12, 13, 31])
@pytest.mark.parametrize('stride', [(1, 2), (3, 5), (8, 6)])
def test_grid_is_that_of_mmseg_and_covers_each_pixel(height, stride):
    grid = window_grid(height, 17, (8, 6), stride)
    assert grid == mmseg_windows(height, 17, (8, 6), stride)
    assert len(set(grid)) == len(grid)
    covered = {(y, x) for y1, x1, y2, x2 in grid for y in range(y1, y2) for x in range(x1, x2)}
    assert covered == {(y, x) for y in range(height) for x in range(17)}


def test_stride_beyond_the_window_is_refused():
    with pytest.raises(ValueError, match='stride of 9 pixels leaves holes between windows of 8'):
        window_grid(20, 30, (8, 8), (9, 8))


@pytest.mark.parametrize(('size', 'stride'), [((0, 5), (1, 1)), ((5, 5), (1, 0))])
def test_empty_sides_and_steps_are_refused(size, stride):
    with pytest.raises(ValueError, match='at least 1 pixel'):
        window_grid(*size, (4, 4), stride)
