"""Scenes of patches, as fields, forest stands and houses are, whose labels are right.

Their textures are alike over 8 to 20 pixels; everything else is drawn: the patches' shapes and
sizes, how many classes there are and how well their colours and heights tell them apart, how sharp
their edges are, the light, and the noise.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter
from scipy.spatial import cKDTree

CLASSES = tuple('abcdef')
KINDS = ('stands', 'parcels', 'houses', 'levels', 'mixed')


class Scene(NamedTuple):
    optical: np.ndarray  # (H, W, 3) uint8
    heights: np.ndarray  # (H, W) float32, metres
    labels: np.ndarray  # (H, W) uint8


@lru_cache(maxsize=40)
def patchy_scene(seed: int, side: int, related: bool = True) -> Scene:
    """Draw a scene; where ``related`` is False, the image does not show what the labels say."""
    rng = np.random.default_rng([seed, side])
    shape, kind = (side, side), KINDS[seed % len(KINDS)]
    labels, units = _layout(rng, shape, kind)
    length = rng.uniform(8, 20)
    shown = labels if related else _layout(rng, shape, kind)[0]
    colours = _colours(rng, kind, shown, units if related else None)
    texture = _field(rng, shape, length / 2)[..., None]
    texture = texture + 0.4 * np.stack([_field(rng, shape, length / 2) for _ in range(3)], -1)
    texture *= rng.uniform(0.3, 1.2, len(CLASSES))[shown][..., None]
    light = rng.uniform(0, 1) * _field(rng, shape, side / 4)[..., None]
    noise = rng.uniform(0.02, 0.3) * rng.normal(size=(*shape, 3))
    optical = 120 + rng.uniform(12, 30) * (colours + texture + light + noise)
    heights = _heights(rng, shape, shown, length)
    if rng.random() < 0.3:  # nobody says what is near a boundary
        labels = _leave_out_boundaries(labels, int(rng.integers(1, 5)))
    return Scene(optical.clip(0, 255).astype(np.uint8), heights, labels.astype(np.uint8))


def _leave_out_boundaries(labels: np.ndarray, width: int) -> np.ndarray:
    """No label (255) up to so many pixels from where the class changes."""
    size = 2 * width + 1
    same = maximum_filter(labels, size) == minimum_filter(labels, size)
    return np.where(same, labels, 255)


def _field(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> np.ndarray:
    """Smooth noise of mean 0 and standard deviation 1."""
    smooth = gaussian_filter(rng.normal(size=shape), sigma)
    return (smooth - smooth.mean()) / smooth.std()


def _layout(
    rng: np.random.Generator, shape: tuple[int, int], kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Class and, finer, unit of each pixel; fields of one class are units that look different."""
    classes, patch = int(rng.integers(2, len(CLASSES) + 1)), int(rng.integers(16, 49))
    if kind == 'mixed':  # one class, half of it by one layout, half by the other
        first, second = (_layout(rng, shape, other)[0] for other in ('parcels', 'stands'))
        labels = np.where(_field(rng, shape, 30) > 0, first, second)
        return labels, labels
    if kind == 'levels':
        field = _field(rng, shape, rng.uniform(6, 14))
        labels = np.searchsorted(np.quantile(field, np.arange(1, classes) / classes), field)
        return labels, field
    if kind == 'stands':
        labels = np.argmax([_field(rng, shape, patch / 3) for _ in range(classes)], axis=0)
        return labels, labels
    if kind == 'parcels':
        count = max(4, shape[0] * shape[1] // patch**2)
        angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 2)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turn[1] *= stretch
        seeds = rng.uniform(0, 1, (count, 2)) * shape @ turn.T
        places = np.stack(np.indices(shape), -1).reshape(-1, 2) @ turn.T
        units = cKDTree(seeds).query(places)[1].reshape(shape)
        return rng.integers(0, classes, count)[units], units
    labels = np.zeros(shape, np.intp)
    for _ in range(int(shape[0] * shape[1] / patch**2 * rng.uniform(0.6, 1.2))):
        row, col = rng.integers(0, shape)
        height, width = rng.integers(patch // 4 + 3, patch + 4, 2)
        labels[row : row + height, col : col + width] = rng.integers(0, classes)
    return labels, labels


def _colours(
    rng: np.random.Generator, kind: str, labels: np.ndarray, units: np.ndarray | None
) -> np.ndarray:
    """Mean colour (H, W, 3) of each pixel, by the deviation of the texture."""
    if kind == 'levels' and units is not None:  # no edge where a class ends: it goes up there
        return units[..., None] * rng.uniform(0.5, 1.2, 3) * rng.choice([-1, 1], 3)
    strength, softness = rng.uniform(0.3, 2.5), rng.uniform(0, 2.5)
    each = 0.5 * rng.normal(size=(len(CLASSES), 3)) + rng.normal(size=(len(CLASSES), 1))
    colours = strength * each[labels]
    if kind == 'parcels' and units is not None:
        own = rng.uniform(0, 0.6) * rng.normal(size=(units.max() + 1, 3))
        colours = colours + own[units]
    return np.stack([gaussian_filter(band, softness) for band in np.moveaxis(colours, -1, 0)], -1)


def _heights(
    rng: np.random.Generator, shape: tuple[int, int], labels: np.ndarray, length: float
) -> np.ndarray:
    """A surface over relief, heights above ground, or heights that say nothing of the classes."""
    steps = rng.uniform(0, 12, len(CLASSES))[labels]
    rough = _field(rng, shape, length / 2)
    noise = 0.1 * rng.normal(size=shape)
    match rng.integers(3):
        case 0:
            relief = rng.uniform(0, 20) * _field(rng, shape, shape[0] / 4)
            heights = 300 + steps + relief + rng.uniform(0.3, 2) * rough + noise
        case 1:
            crowns = np.maximum(rough - rng.uniform(0.5, 2), 0) * rng.uniform(5, 20)
            heights = np.maximum(np.where(steps > 6, steps, 0), crowns)
        case _:
            heights = 5 * rough + _field(rng, shape, 1.5)
    return heights.astype(np.float32)
