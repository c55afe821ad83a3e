"""One synthetic tile as pixels, from its name and a seed."""

from dataclasses import dataclass

import cv2
import numpy as np

from mobanet_mmseg.synthetic.canvas import Canvas
from mobanet_mmseg.synthetic.fields import noise, terrain
from mobanet_mmseg.synthetic.items import Item
from mobanet_mmseg.synthetic.light import photograph
from mobanet_mmseg.synthetic.looks import tell_classes
from mobanet_mmseg.synthetic.plan import draw_plan

# Least share of each class in a tile.
SHARES = np.array([0.1, 0.1, 0.1, 0.1, 0.0125, 0.0125])


@dataclass(frozen=True)
class SyntheticTile:
    """One tile as pixels.

    Args:
        image: (H, W, 4) uint8, red, green, blue, infrared.
        dsm: (H, W) float32, surface height, metres.
        ground: (H, W) float32, height of the bare ground, metres.
        labels: (H, W) uint8, class indices.
    """

    image: np.ndarray
    dsm: np.ndarray
    ground: np.ndarray
    labels: np.ndarray


def make_tile(
    name: str,
    shape: tuple[int, int],
    seed: int = 0,
    gsd: float = 0.05,
    ambiguity: float = 1.0,
) -> SyntheticTile:
    """Make one tile; the same arguments always give the same pixels.

    Args:
        name: Tile name as ``row_col``, for example ``2_10``.
        shape: Rows and columns, pixels.
        seed: Non-negative number of the city.
        gsd: Ground sampling distance, metres per pixel.
        ambiguity: Fraction of the things whose looks do not tell their class: at 0 the image alone
            tells all classes. Labels and heights are those of 1.

    Raises:
        ValueError: If the name is not ``row_col``, a size is not positive, the seed is negative or
            the ambiguity is beyond 0 to 1.
    """
    row, col = parse_name(name)
    if min(shape) < 1 or gsd <= 0 or seed < 0:
        raise ValueError(
            f'A tile of {shape} pixels at {gsd} m with seed {seed} cannot be made: give a positive '
            'size and gsd and a seed that is not negative.'
        )
    if not 0 <= ambiguity <= 1:
        raise ValueError(f'ambiguity is {ambiguity}: give 0 (the image tells all classes) to 1.')
    rng = np.random.default_rng([seed, row, col])
    items = _accepted_plan((shape[1] * gsd, shape[0] * gsd), rng)
    items = tell_classes(items, 1 - ambiguity, np.random.default_rng([seed, row, col, 1]))
    ground = terrain(shape, rng)
    canvas = Canvas(ground, gsd, rng)
    canvas.draw(items)
    image = photograph(canvas, rng)
    dsm = _measured_heights(canvas, rng)
    return SyntheticTile(image, dsm, ground, canvas.labels)


def parse_name(name: str) -> tuple[int, int]:
    """Read row and column from a tile's name."""
    parts = name.split('_')
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ValueError(f'Tile name {name!r} is not row_col: write it as for example 2_10.')
    return int(parts[0]), int(parts[1])


def _accepted_plan(extent: tuple[float, float], rng: np.random.Generator) -> list[Item]:
    """The first plan, or the best of twenty, whose classes all have their share."""
    coarse = max(0.25, max(extent) / 1200)
    shape = (max(1, round(extent[1] / coarse)), max(1, round(extent[0] / coarse)))
    best, best_items = -1.0, []
    for _ in range(20):
        items = draw_plan(extent, rng)
        canvas = Canvas(np.zeros(shape, np.float32), coarse, np.random.default_rng(0))
        canvas.draw(items)
        shares = np.bincount(canvas.labels.ravel(), minlength=len(SHARES)) / canvas.labels.size
        score = float((shares / SHARES).min())
        if score > best:
            best, best_items = score, items
        if best >= 1:
            break
    return best_items


def _measured_heights(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """The DSM as image matching gives it: smeared edges, waves and noise."""
    dsm = cv2.GaussianBlur(canvas.heights, (0, 0), max(0.4, 0.12 / canvas.gsd))
    dsm += 0.05 * noise(dsm.shape, 2.0 / canvas.gsd, rng)
    dsm += 0.03 * rng.standard_normal(dsm.shape, np.float32)
    return dsm
