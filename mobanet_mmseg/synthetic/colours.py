"""Palettes of a synthetic city, R G B in 0..255.

Each is shared by classes that only height can tell apart, such as GREYS by streets and flat roofs.
"""

import numpy as np

from mobanet_mmseg.synthetic.items import Colour

GREYS: tuple[Colour, ...] = (
    (112, 111, 109), (126, 124, 121), (140, 138, 133),
    (98, 98, 100), (156, 152, 145), (120, 114, 107),
)  # fmt: skip
REDS: tuple[Colour, ...] = ((140, 96, 80), (128, 84, 70), (150, 110, 92), (118, 88, 78))
GREENS: tuple[Colour, ...] = (
    (82, 97, 63), (93, 106, 70), (73, 88, 58), (103, 112, 76), (88, 102, 70), (112, 118, 84)
)  # fmt: skip
CARS: tuple[Colour, ...] = (
    (222, 222, 220), (186, 188, 190), (120, 124, 128), (38, 40, 44), (140, 38, 36), (178, 180, 184),
    (44, 62, 108), (60, 64, 70), (206, 200, 184), (232, 234, 236), (92, 30, 34), (46, 52, 58),
)  # fmt: skip
BOXES: tuple[Colour, ...] = (
    (196, 92, 40), (44, 84, 150), (52, 120, 92), (206, 170, 60), (168, 52, 48)
)  # fmt: skip
RUBBLE: tuple[Colour, ...] = ((112, 96, 80),)
EARTH: tuple[Colour, ...] = ((168, 140, 104),)
SAND: tuple[Colour, ...] = ((190, 164, 122),)
CLAY: tuple[Colour, ...] = ((152, 92, 70),)


def tint(rng: np.random.Generator, palette: tuple[Colour, ...], spread: float = 0.08) -> Colour:
    """Draw a colour of a palette, a little lighter or darker, warmer or colder."""
    colour = np.array(palette[rng.integers(len(palette))])
    warm = rng.normal(0, 0.02) * np.array([1, 0, -1])
    r, g, b = colour * (1 + rng.normal(0, spread) + warm)
    return float(r), float(g), float(b)


def shade(colour: Colour, factor: float) -> Colour:
    """Lighten or darken a colour."""
    r, g, b = colour
    return factor * r, factor * g, factor * b
