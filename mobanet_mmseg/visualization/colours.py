"""Turns optical images, surfaces and labels into colours for the eye."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LightSource

NO_DATA_COLOUR = (203, 217, 236)
UNLABELLED_COLOUR = (0, 0, 0)

Colour = Sequence[int]


def stretch(rgb: np.ndarray) -> np.ndarray:
    """Bring an optical image to (H, W, 3) uint8 for the eye.

    Values within 0..255, whose greatest is above 1, stay as they are; others (reflectances, 12-bit
    numbers, decibels) are stretched between their 2nd and 98th percentile over all channels.

    Args:
        rgb: (H, W, C); fewer than three channels are shown grey; what is not finite is black.
    """
    rgb = rgb[..., :3] if rgb.shape[-1] >= 3 else rgb[..., [0, 0, 0]]
    if rgb.dtype == np.uint8:
        return rgb
    rgb = rgb.astype(np.float32)
    finite = np.isfinite(rgb)
    values = rgb[finite]
    if values.size and not (values.min() >= 0 and 1 < values.max() <= 255):
        low, high = np.percentile(values, (2, 98))
        rgb = (rgb - low) * (255 / max(high - low, np.finfo(np.float32).tiny))
    return np.where(finite, rgb, 0).clip(0, 255).astype(np.uint8)


def hillshade(aux: np.ndarray) -> np.ndarray:
    """Light a surface from the north-west, its height as a tint of grey.

    The relief is exaggerated until its steep 2 % stand at about 60 degrees, so that metres and
    heights scaled to 0..1 look alike.

    Args:
        aux: (H, W) in any unit; pale blue where it is not finite.

    Returns:
        (H, W, 3) uint8.
    """
    missing = ~np.isfinite(aux)
    if missing.all():
        return np.full((*aux.shape, 3), NO_DATA_COLOUR, np.uint8)
    surface = np.where(missing, np.median(aux[~missing]), aux).astype(np.float64)
    low, high = np.percentile(surface[~missing], (1, 99))
    tint = ((surface - low) / (high - low)).clip(0, 1) if high > low else np.zeros_like(surface)
    shade = 0.5
    if min(surface.shape) > 1:  # a gradient needs two pixels
        slope = np.hypot(*np.gradient(surface))
        steep = np.percentile(slope[~missing], 98) or slope.max() or 1.0
        light = LightSource(azdeg=315, altdeg=45)
        shade = light.hillshade(surface, vert_exag=math.tan(math.radians(60)) / steep)
    grey = 255 * (0.75 * shade + 0.25 * tint)
    return np.where(missing[..., None], NO_DATA_COLOUR, grey[..., None]).astype(np.uint8)


def colourise(labels: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
    """Paint each class in its colour, and black what is none.

    Args:
        labels: Class indices (H, W).
        palette: Red, green and blue of each class, 0 to 255.

    Returns:
        (H, W, 3) uint8.
    """
    colours = np.array([*palette, UNLABELLED_COLOUR], np.uint8)
    known = (labels >= 0) & (labels < len(palette))
    return colours[np.where(known, labels, len(palette))]
