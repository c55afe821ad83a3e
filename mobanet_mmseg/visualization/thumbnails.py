"""A raster that is seen window by window, kept small enough to be drawn."""

import numpy as np

from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.visualization.pictures import MOST_PIXELS


class Thumbnail:
    """Every n-th pixel of every n-th row, n so small that a panel is filled.

    Args:
        height: Of the whole, pixels.
        width: Likewise.
        channels: Of its pixels.
        empty: What stands where no window was seen.

    Attributes:
        step: n.
        pixels: (C, h, w) float32.
    """

    def __init__(self, height: int, width: int, channels: int, empty: float = np.nan) -> None:
        self.step = max(1, -(-max(height, width) // MOST_PIXELS))
        size = -(-height // self.step), -(-width // self.step)
        self.pixels = np.full((channels, *size), empty, np.float32)

    def put(self, window: Window, values: np.ndarray) -> None:
        """Keep what of a window is kept.

        Args:
            window: Where it lies in the whole.
            values: (C, h, w), its pixels.
        """
        step = self.step
        rows, cols = slice(-window.row % step, None, step), slice(-window.col % step, None, step)
        kept = values[:, rows, cols]
        top, left = -(-window.row // step), -(-window.col // step)
        self.pixels[:, top : top + kept.shape[1], left : left + kept.shape[2]] = kept
