import numpy as np

from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.visualization import thumbnails
from mobanet_mmseg.visualization.thumbnails import Thumbnail


def test_every_third_pixel_is_kept_whatever_the_windows(monkeypatch):
    monkeypatch.setattr(thumbnails, 'MOST_PIXELS', 4)
    whole = np.arange(2 * 7 * 11, dtype=np.float32).reshape(2, 7, 11)
    for height, width in ((7, 11), (2, 5), (1, 1)):
        small = Thumbnail(7, 11, 2)
        assert small.step == 3
        for row in range(0, 7, height):
            for col in range(0, 11, width):
                window = Window(row, col, min(height, 7 - row), min(width, 11 - col))
                small.put(window, whole[:, window.rows, window.cols])
        np.testing.assert_array_equal(small.pixels, whole[:, ::3, ::3])


def test_a_small_raster_is_kept_whole_and_empty_where_nothing_was_seen():
    small = Thumbnail(2, 3, 1)
    small.put(Window(1, 0, 1, 2), np.ones((1, 1, 2), np.float32))
    np.testing.assert_array_equal(small.pixels[0], [[np.nan] * 3, [1, 1, np.nan]])
