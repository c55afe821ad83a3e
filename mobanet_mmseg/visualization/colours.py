"""Turns optical images, surfaces and labels into colours for the eye."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.colors import LightSource

NO_DATA_COLOUR = (203, 217, 236)
UNLABELLED_COLOURS = ((0, 0, 0), NO_DATA_COLOUR, (128, 128, 128))
DARK = 100  # an image whose bright pixels are below it is stretched
NEAR = 90  # of colours, as far as their reds, greens and blues lie apart

Colour = Sequence[int]


def stretch(rgb: np.ndarray) -> np.ndarray:
    """Bring an optical image to (H, W, 3) uint8 for the eye.

    Bytes stay as they are, and so do values within 0..255 whose 98th percentile is above 100;
    others (reflectances, percentages, 12-bit numbers) are stretched between their 2nd and 98th
    percentile over all channels.

    Args:
        rgb: (H, W, C); fewer than three channels are shown grey; what is not finite is black.
    """
    rgb = _three(rgb)
    if rgb.dtype == np.uint8:
        return rgb
    finite = np.isfinite(rgb)
    values = rgb[finite]
    within = bool(values.size) and values.min() >= 0 and values.max() <= 255
    if within and np.percentile(values, 98) > DARK:
        return np.where(finite, rgb, 0).astype(np.uint8)
    return _between_percentiles(rgb)


def _three(image: np.ndarray) -> np.ndarray:
    """The first three channels of an image, or its first one as grey."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., [0, 0, 0]]


def _between_percentiles(image: np.ndarray) -> np.ndarray:
    """Bytes of an image between its 2nd and 98th percentile; 0 where it is not finite."""
    image = image.astype(np.float32)
    finite = np.isfinite(image)
    if not finite.any():
        return np.zeros(image.shape, np.uint8)
    low, high = np.percentile(image[finite], (2, 98))
    image = (image - low) * (255 / max(high - low, np.finfo(np.float32).tiny))
    return np.where(finite, image, 0).clip(0, 255).astype(np.uint8)


def draw_aux(aux: np.ndarray, kind: str) -> tuple[str, np.ndarray]:
    """Draw an auxiliary image as what it is.

    Args:
        aux: (H, W, C) in any unit; pale blue where the channels that are shown are not finite.
        kind: One of :data:`mobanet_mmseg.modalities.AUX_KINDS`: the first channel of ``'height'``
            is shown as relief and that of ``'sar'``, decibels, as grey; of ``'bands'`` the first
            three are shown in colour.

    Returns:
        A title and the picture, (H, W, 3) uint8.
    """
    if kind == 'height':
        return 'aux (hillshade)', hillshade(aux[..., 0])
    shown = _three(aux if kind == 'bands' else aux[..., :1])
    missing = ~np.isfinite(shown).all(axis=-1, keepdims=True)
    picture = np.where(missing, np.uint8(NO_DATA_COLOUR), _between_percentiles(shown))
    return 'aux (bands)' if kind == 'bands' else 'aux (SAR, dB)', picture


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


def unlike(palette: Iterable[Colour], *candidates: Colour) -> Colour:
    """Choose a colour that no class nearly has.

    Args:
        palette: Colours that are taken.
        *candidates: In the order of preference.

    Returns:
        The first that is far from all of the palette; if none is, the farthest.
    """
    taken = np.array([*palette], float).reshape(1, -1, 3)
    apart = np.linalg.norm(np.array(candidates)[:, None] - taken, axis=-1).min(axis=1)
    return candidates[int(np.argmax(apart > NEAR) if apart.max() > NEAR else np.argmax(apart))]


def unlabelled_colour(palette: Sequence[Colour]) -> Colour:
    """What is no class is black, or another colour where a class is.

    Args:
        palette: Red, green and blue of each class, 0 to 255.
    """
    return unlike(palette, *UNLABELLED_COLOURS)


def colourise(labels: np.ndarray, palette: Sequence[Colour]) -> np.ndarray:
    """Paint each class in its colour, and what is none in black, if no class is.

    Args:
        labels: Class indices (H, W).
        palette: Red, green and blue of each class, 0 to 255.

    Returns:
        (H, W, 3) uint8.
    """
    colours = np.array([*palette, unlabelled_colour(palette)], np.uint8)
    known = (labels >= 0) & (labels < len(palette))
    return colours[np.where(known, labels, len(palette))]
