"""Terraces: houses wall to wall around the yard of a block."""

from itertools import pairwise

import numpy as np

from mobanet_mmseg.synthetic.colours import GREYS, tint
from mobanet_mmseg.synthetic.draft import Draft, Layer
from mobanet_mmseg.synthetic.items import IMPERVIOUS, Surface
from mobanet_mmseg.synthetic.layout import Pose, Rect, to_uv
from mobanet_mmseg.synthetic.roofs import add_roof


def add_terraces(draft: Draft, block: Rect) -> tuple[Rect, list[Rect]]:
    """Line a block with houses; returns the yard inside and the sides left open."""
    rng = draft.rng
    depth = rng.uniform(8, 10)
    yard = block.grow(-depth, -depth)
    draft.rect(Layer.LOT, block, Surface.PAVING, tint(rng, GREYS), IMPERVIOUS)
    eaves, flat = rng.uniform(7, 11), rng.random() < 0.3
    open_sides = []
    for axis, across in ((0, block.v0), (0, yard.v1), (1, block.u0), (1, yard.u1)):
        low, high = (block, yard)[axis].span(axis)
        if rng.random() < 0.2:
            open_sides.append(Rect.along(axis, (low, high), (across, across + depth)))
            continue
        cuts = np.linspace(low, high, max(2, round((high - low) / 10) + 1))
        cuts[1:-1] += rng.uniform(-1.5, 1.5, len(cuts) - 2)
        for start, end in pairwise(cuts):
            at = Pose(*to_uv(axis, (start + end) / 2, across + depth / 2), axis * np.pi / 2)
            add_roof(draft, at, (end - start + 0.3, depth), eaves + rng.normal(0, 0.5), flat)
    return yard.grow(-0.4, -0.4), open_sides
