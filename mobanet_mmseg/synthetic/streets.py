"""Streets: roadway, sidewalks, marks, repairs, and the cars and trees along them."""

from typing import NamedTuple

import numpy as np

from mobanet_mmseg.synthetic.colours import GREYS, shade, tint
from mobanet_mmseg.synthetic.draft import Draft, Layer
from mobanet_mmseg.synthetic.items import IMPERVIOUS, Colour, Surface
from mobanet_mmseg.synthetic.layout import Pose, Rect, to_uv
from mobanet_mmseg.synthetic.plants import add_plant
from mobanet_mmseg.synthetic.vehicles import add_car, add_skip

SIDEWALK = 1.5  # metres


class Street(NamedTuple):
    """A straight piece of street with its sidewalks, along an axis."""

    rect: Rect
    axis: int

    @property
    def middle(self) -> float:
        """Coordinate of the middle line, across the axis."""
        return self.rect.centre[1 - self.axis]

    @property
    def half(self) -> float:
        """Half the width of the roadway, metres."""
        return self.rect.size[1 - self.axis] / 2 - SIDEWALK


def add_street(draft: Draft, street: Street, streets: list[Street]) -> None:
    """Add one of the streets with all that is on it."""
    rect, axis = street
    colour = tint(draft.rng, GREYS[:4], 0.05)
    sidewalk = tint(draft.rng, GREYS, 0.05)
    draft.rect(Layer.SIDEWALK, rect, Surface.PAVING, sidewalk, IMPERVIOUS)
    # A street runs on over the sidewalk of the one it meets.
    road = rect.grow(*to_uv(axis, SIDEWALK + 0.25, -SIDEWALK))
    kerb = road.grow(*to_uv(axis, 0, 0.15))
    draft.rect(Layer.KERB, kerb, Surface.PAVING, (168, 166, 160), IMPERVIOUS)
    draft.rect(Layer.ROAD, road, Surface.ASPHALT, colour, IMPERVIOUS)
    _repair(draft, street, colour)
    if street.half > 2.9:
        _mark(draft, street)
    _park_cars(draft, street, [other for other in streets if other is not street])
    _plant_trees(draft, street)


def _repair(draft: Draft, street: Street, colour: Colour) -> None:
    """Patches of newer and older asphalt, and manholes."""
    rng, (rect, axis) = draft.rng, street
    for along in np.arange(*rect.span(axis), 9.0):
        start = along + rng.uniform(0, 7)
        side = street.middle + rng.uniform(-0.8, 0.3) * street.half
        tone = shade(colour, rng.choice([0.86, 0.9, 1.07]))
        length, width = rng.uniform(0.8, 6), rng.uniform(0.6, 1.6)
        patch = Rect.along(axis, (start, start + length), (side, side + width))
        draft.rect(Layer.ROAD, patch, Surface.ASPHALT, tone)
        if rng.random() < 0.4:
            at = Pose(*to_uv(axis, start + 3, street.middle + 0.4 * street.half), 0)
            draft.box(Layer.MARK, at, (0.7, 0.7), Surface.SMOOTH, (72, 70, 68), chamfer=0.2)


def _mark(draft: Draft, street: Street) -> None:
    """A broken middle line, and a crossing at either end."""
    axis, middle, half = street.axis, street.middle, street.half
    low, high = street.rect.span(axis)
    for along in np.arange(low + 5, high - 5, 6.0):
        draft.stripe(axis, (along, along + 2.5), (middle - 0.07, middle + 0.07))
    for end in (low + 1.2, high - 3.6):
        for stripe in np.arange(middle - half + 0.4, middle + half - 0.6, 1.0):
            draft.stripe(axis, (end, end + 2.4), (stripe, stripe + 0.5))


def _park_cars(draft: Draft, street: Street, others: list[Street]) -> None:
    """Cars parked along both kerbs and some that drive, away from junctions."""
    rng, axis, half = draft.rng, street.axis, street.half
    low, high = street.rect.span(axis)
    junctions = [other.rect.grow(5, 5) for other in others]
    for side in (-1, 1):
        along = low + rng.uniform(3, 8)
        while along < high - 4:
            lane = half - 1.05 if rng.random() < 0.93 else half * 0.42
            spot = to_uv(axis, along, street.middle + side * lane)
            if not any(rect.holds(*spot) for rect in junctions) and rng.random() < 0.32:
                turn = axis * np.pi / 2 + (np.pi if side > 0 else 0) + rng.normal(0, 0.03)
                park = add_skip if rng.random() < 0.06 else add_car
                park(draft, Pose(*spot, turn))
            along += rng.uniform(5.4, 6.8)


def _plant_trees(draft: Draft, street: Street) -> None:
    """A row of trees on one of the sidewalks of most streets."""
    rng, (rect, axis) = draft.rng, street
    if rng.random() < 0.35:
        return
    side = rng.choice([-1, 1])
    across = street.middle + side * (rect.size[1 - axis] / 2 - 0.6 * SIDEWALK)
    low, high = rect.span(axis)
    for along in np.arange(low + 6, high - 6, 9.0):
        spot = to_uv(axis, along + rng.normal(0, 0.5), across)
        if rng.random() < 0.7:
            add_plant(draft, spot, rng.uniform(1.7, 3.2), tall=True)
