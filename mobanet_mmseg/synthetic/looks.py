"""Looks that tell the classes: what a city shows of its classes without any height.

By default things of several classes share their looks. A city of less ambiguity has the same plan,
labels and heights; a share of its things is painted in looks of their classes instead.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mobanet_mmseg.synthetic.colours import tint
from mobanet_mmseg.synthetic.items import (
    BUILDING,
    CAR,
    CLUTTER,
    IMPERVIOUS,
    LOW_VEGETATION,
    TREE,
    Colour,
    Item,
    Surface,
)


class Look(NamedTuple):
    """What the things of one class are made of, and their colour."""

    surface: Surface
    colour: Colour


LOOKS = {
    IMPERVIOUS: Look(Surface.ASPHALT, (128, 127, 126)),
    BUILDING: Look(Surface.TILES, (164, 72, 60)),
    LOW_VEGETATION: Look(Surface.GRASS, (122, 146, 62)),
    TREE: Look(Surface.FOLIAGE, (44, 92, 64)),
    CAR: Look(Surface.SMOOTH, (64, 104, 224)),
    CLUTTER: Look(Surface.SOIL, (226, 158, 70)),
}
NATURAL = (Surface.GRASS, Surface.FOLIAGE, Surface.SOIL)


def tell_classes(items: Sequence[Item], share: float, rng: np.random.Generator) -> list[Item]:
    """Give a share of the items the looks of their classes.

    What a higher share tells holds all that a lower one tells, in the same colours.

    Args:
        items: Things in the order of painting.
        share: Fraction of them, each drawn by itself.
        rng: Source of the draws; not the plan's, which stays as it is.
    """
    seen, label, chance, paint = [], IMPERVIOUS, 1.0, None
    for item in items:
        drawn = rng.random()
        if item.label is not None:
            label, chance, paint = item.label, drawn, item.colour
        colour = tint(rng, (LOOKS[label].colour,))
        # What has no class, but the paint of the thing before it or a natural surface, looks as
        # that thing does: a car's roof, a patch of a lawn, the rubble in a skip.
        dressed = item.label is not None or item.colour == paint or item.surface in NATURAL
        if dressed and chance < share:
            item = replace(item, surface=LOOKS[label].surface, colour=colour)
        seen.append(item)
    return seen
