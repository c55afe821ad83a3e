"""The plan of a synthetic city: streets divide the land into blocks, blocks into lots."""

import numpy as np

from mobanet_mmseg.synthetic.draft import Draft
from mobanet_mmseg.synthetic.items import Item
from mobanet_mmseg.synthetic.layout import Rect
from mobanet_mmseg.synthetic.lots import (
    court,
    grove,
    hall,
    house,
    parking,
    plaza,
    thicket,
    works,
)
from mobanet_mmseg.synthetic.streets import Street, add_street
from mobanet_mmseg.synthetic.terraces import add_terraces

# How many of each stand on every 29 lots.
MIX = {house: 5, hall: 5, grove: 5, thicket: 6, plaza: 5, parking: 1, works: 1, court: 1}


def draw_plan(extent: tuple[float, float], rng: np.random.Generator) -> list[Item]:
    """Plan one tile.

    Args:
        extent: Tile's width and height, metres.
        rng: Source of every choice.

    Returns:
        Everything that is in the tile or near it, in the order of painting.
    """
    draft = Draft(extent, rng)
    half = 0.75 * max(extent)  # covers the tile at any turn
    land = Rect(-half, -half, half, half)
    blocks, streets = _divide(land, rng, limit=60, gaps=(11.0, 9.0, 7.8))
    for street in streets:
        add_street(draft, street, streets)
    lots = []
    for block in blocks:
        if min(block.size) > 32 and rng.random() < 0.3:
            block, open_sides = add_terraces(draft, block)
            lots += open_sides
        lots += _divide(block, rng, limit=25, gaps=(0.0,))[0]
    _build(draft, lots)
    return draft.items


def _divide(
    rect: Rect, rng: np.random.Generator, limit: float, gaps: tuple[float, ...]
) -> tuple[list[Rect], list[Street]]:
    """Halve a rectangle until no side is beyond limit, leaving gaps, wider first, for streets."""
    pieces, streets, todo = [], [], [(rect, 0)]
    while todo:
        piece, depth = todo.pop()
        axis = piece.long_axis
        if piece.size[axis] <= limit:
            pieces.append(piece)
            continue
        gap = gaps[min(depth, len(gaps) - 1)]
        (low, high), across = piece.span(axis), piece.span(1 - axis)
        middle = low + piece.size[axis] * rng.uniform(0.43, 0.57)
        start, end = middle - gap / 2, middle + gap / 2
        streets.append(Street(Rect.along(axis, (start, end), across), 1 - axis))
        todo += [
            (Rect.along(axis, (low, start), across), depth + 1),
            (Rect.along(axis, (end, high), across), depth + 1),
        ]
    return pieces, streets


def _build(draft: Draft, lots: list[Rect]) -> None:
    """Build on all lots, with every class of things near the middle."""
    clutter = (works, court)[draft.rng.integers(2)]
    deck = [house, hall, hall, grove, grove, thicket, clutter]
    draft.rng.shuffle(deck)
    for lot in sorted(lots, key=lambda lot: np.hypot(*lot.centre)):
        if not deck:
            deck = [kind for kind, count in MIX.items() for _ in range(count)]
            draft.rng.shuffle(deck)
        kind = deck.pop()
        kind(draft, lot)
