"""What stands on a lot: each function builds on one rectangle of the plan.

What can be told apart by colour alone is kept small on purpose: a plaza is a hall without its
height, a thicket the plants of a grove with few trees among them.
"""

import numpy as np

from mobanet_mmseg.synthetic.colours import CLAY, EARTH, GREYS, REDS, SAND, tint
from mobanet_mmseg.synthetic.draft import Draft, Layer
from mobanet_mmseg.synthetic.items import CLUTTER, IMPERVIOUS, Surface
from mobanet_mmseg.synthetic.layout import Pose, Rect, to_uv
from mobanet_mmseg.synthetic.plants import add_hedges, add_lawn, add_plants
from mobanet_mmseg.synthetic.roofs import add_roof
from mobanet_mmseg.synthetic.vehicles import add_car, add_container


def house(draft: Draft, lot: Rect) -> None:
    """Build a house in a garden, with a drive and sometimes a pool."""
    rng = draft.rng
    add_lawn(draft, lot)
    turn = int(rng.integers(2))
    length = min(rng.uniform(9, 14), lot.size[turn] - 3)
    width = min(rng.uniform(8, 10.5), lot.size[1 - turn] - 3, length)
    half = to_uv(turn, length / 2, width / 2)
    slack = [max(0.0, s / 2 - h - 1.5) for s, h in zip(lot.size, half, strict=True)]
    u, v = (c + rng.uniform(-1, 1) * s for c, s in zip(lot.centre, slack, strict=True))
    walls = Rect(u - half[0], v - half[1], u + half[0], v + half[1])
    drive = Rect(walls.u0, lot.v0, walls.u0 + 3, walls.v0)
    stone = tint(rng, GREYS + REDS)
    for paved in (walls.grow(0.5, 0.5), drive):
        draft.rect(Layer.LOT, paved, Surface.PAVING, stone, IMPERVIOUS)
    if drive.size[1] > 4.6:
        add_car(draft, Pose(*drive.centre, np.pi / 2))
    eaves, flat = rng.uniform(3.5, 7), rng.random() < 0.2
    add_roof(draft, Pose(u, v, turn * np.pi / 2), (length, width), eaves, flat)
    add_hedges(draft, lot)
    add_plants(draft, lot, rng.integers(5, 10), 0.5, walls)
    if rng.random() < 0.3:
        _add_pool(draft, lot, walls)


def _add_pool(draft: Draft, lot: Rect, walls: Rect) -> None:
    """A pool where one of a few tries finds room beside the house."""
    for _ in range(8):
        spot = lot.spot(draft.rng, 3)
        if not walls.grow(3, 3).holds(*spot):
            at, rim, water = Pose(*spot, 0), (186, 180, 168), (70, 140, 160)
            draft.box(Layer.ROAD, at, (6.6, 4.2), Surface.PAVING, rim, IMPERVIOUS)
            draft.box(Layer.MARK, at, (5.4, 3.0), Surface.WATER, water, CLUTTER)
            return


def hall(draft: Draft, lot: Rect) -> None:
    """Build one large building."""
    _add_slab(draft, lot, draft.rng.uniform(4, 12))


def plaza(draft: Draft, lot: Rect) -> None:
    """Pave a lot, and sometimes leave a container on it."""
    paved = _add_slab(draft, lot, 0.0)
    if draft.rng.random() < 0.15:
        add_container(draft, Pose(*paved.spot(draft.rng, 3), draft.rng.uniform(0, np.pi)))


def _add_slab(draft: Draft, lot: Rect, height: float) -> Rect:
    """A large roof or, at height 0, a plaza: the same sizes, colours and surroundings."""
    rng = draft.rng
    if rng.random() < 0.7:
        add_lawn(draft, lot)
    else:
        draft.rect(Layer.LOT, lot, Surface.PAVING, tint(rng, GREYS), IMPERVIOUS)
    inner = lot.grow(-rng.uniform(1, 2.5), -rng.uniform(1, 2.5))
    turn = inner.long_axis
    at, flat = Pose(*inner.centre, turn * np.pi / 2), rng.random() < 0.7
    add_roof(draft, at, to_uv(turn, *inner.size), height, flat)
    add_plants(draft, lot, 5, 0.6, inner)
    return inner


def parking(draft: Draft, lot: Rect) -> None:
    """Lay out two rows of parking bays, most of them taken."""
    rng, axis = draft.rng, lot.long_axis
    draft.rect(Layer.LOT, lot, Surface.ASPHALT, tint(rng, GREYS[:4]), IMPERVIOUS)
    (low, high), (near, far) = lot.span(axis), lot.span(1 - axis)
    for side in (near + 2.9, far - 2.9):
        for along in np.arange(low + 1.5, high - 2, 2.6):
            draft.stripe(axis, (along - 0.06, along + 0.06), (side - 2.4, side + 2.4))
            if rng.random() < 0.62:
                turn = (1 - axis) * np.pi / 2 + np.pi * rng.integers(2) + rng.normal(0, 0.04)
                add_car(draft, Pose(*to_uv(axis, along + 1.3, side), turn))
    add_plants(draft, lot, 2, 1.0)


def grove(draft: Draft, lot: Rect) -> None:
    """Plant trees, and a few shrubs."""
    add_lawn(draft, lot)
    add_plants(draft, lot, int(lot.area / 18), 0.85)


def thicket(draft: Draft, lot: Rect) -> None:
    """Plant shrubs, and a few trees; sometimes a path leads through."""
    add_lawn(draft, lot)
    add_plants(draft, lot, int(lot.area / 22), 0.08)
    if draft.rng.random() < 0.5:
        path = lot.grow(-lot.size[0] / 2 + 0.8, 0)
        draft.rect(Layer.ROAD, path, Surface.PAVING, tint(draft.rng, GREYS[4:]), IMPERVIOUS)


def works(draft: Draft, lot: Rect) -> None:
    """Open a building site: bare soil, heaps of sand, containers."""
    rng = draft.rng
    draft.rect(Layer.LOT, lot, Surface.PAVING, tint(rng, GREYS), IMPERVIOUS)
    draft.rect(Layer.LOT, lot.grow(-1.5, -2.5), Surface.SOIL, tint(rng, EARTH), CLUTTER)
    for _ in range(3):
        spot, radius, colour = lot.spot(rng, 4), rng.uniform(1.5, 3), tint(rng, SAND)
        draft.crown(Layer.BOX, spot, radius, 1.6, CLUTTER, Surface.SOIL, colour)
    for _ in range(2):
        add_container(draft, Pose(*lot.spot(rng, 4), rng.integers(2) * np.pi / 2))


def court(draft: Draft, lot: Rect) -> None:
    """Lay a red sports court with its lines in a lawn."""
    add_lawn(draft, lot)
    axis, field = lot.long_axis, lot.grow(-2, -2)
    draft.rect(Layer.ROAD, field, Surface.SOIL, tint(draft.rng, CLAY, 0.04), CLUTTER)
    lines = field.grow(*to_uv(axis, -1.5, -1.2))
    ends, sides = lines.span(axis), lines.span(1 - axis)
    for along in (ends[0], sum(ends) / 2, ends[1]):
        draft.stripe(axis, (along - 0.06, along + 0.06), sides)
    for across in (sides[0], sum(sides) / 2, sides[1]):
        draft.stripe(axis, ends, (across - 0.06, across + 0.06))
    add_plants(draft, lot, 4, 0.6, field)
