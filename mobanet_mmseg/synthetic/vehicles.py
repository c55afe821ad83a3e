"""Cars, and the containers that stand where cars stand."""

import numpy as np

from mobanet_mmseg.synthetic.colours import BOXES, CARS, RUBBLE, shade, tint
from mobanet_mmseg.synthetic.draft import Draft, Layer
from mobanet_mmseg.synthetic.items import CAR, CLUTTER, Surface
from mobanet_mmseg.synthetic.layout import Pose

GLASS = (34, 38, 44)


def add_car(draft: Draft, at: Pose) -> None:
    """Add a car: its body, the glass on it and the roof on that."""
    colour = tint(draft.rng, CARS, 0.06)
    length, width = draft.rng.uniform(4.1, 4.9), draft.rng.uniform(1.75, 1.9)
    cabin = at.moved(-0.05 * length)
    roof = cabin.moved(-0.02 * length)
    for pose, size, paint, label, height, chamfer in (
        (at, (length, width), colour, CAR, 1.0, 0.25),
        (cabin, (0.56 * length, 0.86 * width), GLASS, None, 0.4, 0.15),
        (roof, (0.34 * length, 0.74 * width), colour, None, 0.1, 0.1),
    ):
        draft.box(Layer.BOX, pose, size, Surface.SMOOTH, paint, label, height, chamfer)


def add_skip(draft: Draft, at: Pose) -> None:
    """Add an open container for rubble, as long as a car."""
    colour = tint(draft.rng, BOXES, 0.05)
    rubble = tint(draft.rng, RUBBLE)
    draft.box(Layer.BOX, at, (3.8, 1.9), Surface.SMOOTH, colour, CLUTTER, 1.4, 0.1)
    draft.box(Layer.BOX, at, (3.4, 1.5), Surface.SOIL, rubble, chamfer=0.2)


def add_container(draft: Draft, at: Pose) -> None:
    """Add a freight container with its ribs."""
    colour = tint(draft.rng, BOXES, 0.05)
    draft.box(Layer.BOX, at, (6.06, 2.44), Surface.SMOOTH, colour, CLUTTER, 2.6)
    for rib in np.arange(-2.7, 2.8, 0.6):
        draft.box(Layer.BOX, at.moved(rib), (0.15, 2.3), Surface.SMOOTH, shade(colour, 0.82))
