"""What a synthetic city is made of: the things that are painted, in metres of the tile."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

# In the order of the classes of the ISPRS datasets.
IMPERVIOUS, BUILDING, LOW_VEGETATION, TREE, CAR, CLUTTER = range(6)

Colour = tuple[float, float, float]


class Surface(IntEnum):
    """What a thing is made of: the row of the texture table that it is painted with."""

    ASPHALT = 0
    PAVING = 1
    TILES = 2
    GRASS = 3
    FOLIAGE = 4
    SOIL = 5
    SMOOTH = 6
    WATER = 7


@dataclass(frozen=True)
class Patch:
    """A polygon of one colour.

    Args:
        points: (N, 2) corners, x to the right and y down, metres from the tile's upper left.
        surface: What it is made of.
        colour: R G B, 0..255.
        label: Class index; None keeps the class of what it is painted on.
        height: Metres above the ground, or above what it is painted on where label is None.
    """

    points: np.ndarray
    surface: Surface
    colour: Colour
    label: int | None
    height: float


@dataclass(frozen=True)
class Plate:
    """A rectangle of tiles, slabs or sheets: a roof, or paving that looks like one.

    Args:
        centre: x and y, metres.
        angle: Direction of the ridge, radians from x towards y.
        length: Extent along the ridge, metres.
        width: Extent across the ridge, metres.
        label: Class index.
        surface: What it is made of.
        colour: R G B, 0..255.
        height: Eaves above the ground, metres; 0 lies on the ground and follows it.
        pitch: Rise per run of the slopes; 0 is flat.
        hipped: Whether all four sides slope instead of two.
        cell: Extent of one tile or slab along and across the ridge, metres.
        tone: Brightness of the half beyond the ridge.
    """

    centre: tuple[float, float]
    angle: float
    length: float
    width: float
    label: int
    surface: Surface
    colour: Colour
    height: float
    pitch: float
    hipped: bool
    cell: tuple[float, float]
    tone: float


@dataclass(frozen=True)
class Crown:
    """A tree, a shrub or a heap seen from above: a dome with a ragged outline.

    Args:
        centre: x and y, metres.
        radius: Metres.
        height: Top above the ground, metres.
        label: Class index.
        surface: What it is made of.
        colour: R G B, 0..255.
    """

    centre: tuple[float, float]
    radius: float
    height: float
    label: int
    surface: Surface
    colour: Colour


Item = Patch | Plate | Crown
