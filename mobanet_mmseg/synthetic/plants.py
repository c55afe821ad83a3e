"""Lawns, hedges, shrubs and trees: one look at many heights."""

import numpy as np

from mobanet_mmseg.synthetic.colours import GREENS, shade, tint
from mobanet_mmseg.synthetic.draft import Draft, Layer
from mobanet_mmseg.synthetic.items import LOW_VEGETATION, TREE, Surface
from mobanet_mmseg.synthetic.layout import Pose, Rect


def add_lawn(draft: Draft, lot: Rect) -> None:
    """Cover a lot with grass or ground cover that is not even."""
    rng = draft.rng
    surface = Surface.GRASS if rng.random() < 0.25 else Surface.FOLIAGE
    draft.rect(Layer.LOT, lot, surface, tint(rng, GREENS), LOW_VEGETATION)
    for _ in range(rng.integers(1, 4)):  # worn, mown and wilder spots
        at, size = Pose(*lot.spot(rng), rng.uniform(0, 3)), rng.uniform(1.5, 4.5, 2)
        draft.box(Layer.LOT, at, tuple(size), surface, tint(rng, GREENS), chamfer=0.6)
    for _ in range(int(lot.area / 60)):  # dark ivy, like a tree's shadow
        at, colour, radius = lot.spot(rng, 2), shade(tint(rng, GREENS), 0.55), rng.uniform(1.2, 3)
        draft.crown(Layer.LOT, at, radius, 0.2, LOW_VEGETATION, Surface.FOLIAGE, colour)


def add_plant(draft: Draft, at: tuple[float, float], radius: float, tall: bool) -> None:
    """Add a tree where tall is true, else a shrub of the same look."""
    rng = draft.rng
    height = float(np.clip(radius * rng.uniform(1.5, 2.6) + 1.5, 3, 15))
    surface = Surface.FOLIAGE if rng.random() < 0.75 else Surface.GRASS
    layer, label = (Layer.TREE, TREE) if tall else (Layer.SHRUB, LOW_VEGETATION)
    top = height if tall else rng.uniform(0.4, 1.3)
    draft.crown(layer, at, radius, top, label, surface, tint(rng, GREENS))


def add_plants(
    draft: Draft, lot: Rect, count: int, tall: float, keep_off: Rect | None = None
) -> None:
    """Strew plants over a lot, the share tall of them trees, the others shrubs."""
    for _ in range(count):
        radius = draft.rng.uniform(1.5, 4.5)
        at = lot.spot(draft.rng, 0.6 * radius)
        if keep_off is None or not keep_off.grow(0.7 * radius, 0.7 * radius).holds(*at):
            add_plant(draft, at, radius, draft.rng.random() < tall)


def add_hedges(draft: Draft, lot: Rect) -> None:
    """Line three sides of a lot with hedges; the side of the drive stays open."""
    colour = tint(draft.rng, GREENS)
    u0, v0, u1, v1 = lot
    left, right = Rect(u0, v0, u0 + 0.9, v1), Rect(u1 - 0.9, v0, u1, v1)
    for side in (left, right, Rect(u0, v1 - 0.9, u1, v1)):
        if draft.rng.random() < 0.7:
            draft.rect(Layer.SHRUB, side, Surface.FOLIAGE, colour, LOW_VEGETATION, 1.2)
