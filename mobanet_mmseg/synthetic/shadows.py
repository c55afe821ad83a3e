"""Shadows that heights cast."""

import math

import numpy as np


def cast_shadows(
    heights: np.ndarray, gsd: float, azimuth: float, elevation: float, soft: float = 0.3
) -> np.ndarray:
    """How much of the sun reaches each pixel.

    The shadow over a pixel is as high as the highest of all heights towards the sun, each lowered
    by the sun's fall over its distance. Reaches of 1, 2, 4, ... pixels are joined, so that a reach
    of n pixels takes log2(n) passes.

    Args:
        heights: (H, W) surface heights, metres.
        gsd: Metres per pixel.
        azimuth: Direction of the sun, degrees clockwise from north, which is up.
        elevation: Height of the sun over the horizon, degrees.
        soft: A pixel this far under the shadow's surface, metres, is wholly dark.

    Returns:
        (H, W) float32, 1 in the sun and 0 in the shadow.
    """
    fall = math.tan(math.radians(elevation)) * gsd
    towards = -math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
    shadow = heights.astype(np.float32)
    reach = (float(shadow.max()) - float(shadow.min())) / fall
    step = 1
    while step <= max(reach, 1) and step < max(shadow.shape):
        rows, cols = round(step * towards[0]), round(step * towards[1])
        here, there = _shifted(shadow.shape, rows, cols)
        raised = shadow[there] - np.float32(fall * math.hypot(rows, cols))
        np.maximum(shadow[here], raised, out=shadow[here])
        step *= 2
    depth = (shadow - heights) * np.float32(1 / soft)
    return 1 - np.clip(depth, 0, 1)


def _shifted(
    shape: tuple[int, int], rows: int, cols: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the pixels that have a neighbour (rows, cols) away, and of those neighbours."""
    spans = [
        (max(0, -move), size - max(0, move), move)
        for size, move in zip(shape, (rows, cols), strict=True)
    ]
    here = tuple(slice(low, max(low, high)) for low, high, _ in spans)
    there = tuple(slice(low + move, max(low, high) + move) for low, high, move in spans)
    return here, there
