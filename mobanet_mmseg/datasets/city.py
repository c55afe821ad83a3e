"""The plan of a synthetic city: which things stand where, in metres; no pixels.

Streets divide a square of land into blocks, blocks divide into lots, and each lot is built on. What
can be told apart by colour alone is kept small on purpose: a plaza is the same plate as a flat roof
without its height, a thicket the same crowns as a grove.
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np

IMPERVIOUS, BUILDING, LOW_VEGETATION, TREE, CAR, CLUTTER = range(6)

Colour = tuple[float, float, float]

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
    (196, 92, 40),
    (44, 84, 150),
    (52, 120, 92),
    (206, 170, 60),
    (168, 52, 48),
)


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


class Layer(IntEnum):
    """Order of painting, lowest first."""

    LOT = 0
    SIDEWALK = 1
    KERB = 2
    ROAD = 3
    MARK = 4
    PLATE = 5
    FIXTURE = 6
    BOX = 7
    SHRUB = 8
    TREE = 9


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
    label: int | None = None
    height: float = 0.0


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
    height: float = 0.0
    pitch: float = 0.0
    hipped: bool = False
    cell: tuple[float, float] = (0.3, 0.35)
    tone: float = 1.0


@dataclass(frozen=True)
class Crown:
    """A tree or a shrub seen from above: a dome with a ragged outline.

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


class Rect(NamedTuple):
    """A rectangle of the plan, metres, before the plan is turned and bent into the tile."""

    u0: float
    v0: float
    u1: float
    v1: float

    @property
    def size(self) -> tuple[float, float]:
        """Extents along u and v, metres."""
        return self.u1 - self.u0, self.v1 - self.v0

    @property
    def centre(self) -> tuple[float, float]:
        """Middle point."""
        return (self.u0 + self.u1) / 2, (self.v0 + self.v1) / 2

    def grow(self, along_u: float, along_v: float) -> 'Rect':
        """Move each side outwards, metres; negative moves it inwards."""
        return Rect(self.u0 - along_u, self.v0 - along_v, self.u1 + along_u, self.v1 + along_v)


class Street(NamedTuple):
    """A straight piece of street with its sidewalks; axis 0 runs along u, 1 along v."""

    rect: Rect
    axis: int
    sidewalk: float


class CityPlan:
    """Draws up the plan of one tile.

    Args:
        extent: Tile's width and height, metres.
        rng: Source of every choice.
    """

    def __init__(self, extent: tuple[float, float], rng: np.random.Generator) -> None:
        self.extent = extent
        self.rng = rng
        self._turn = rng.uniform(0, np.pi)
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._layers: dict[Layer, list[Item]] = {layer: [] for layer in Layer}
        half = 0.75 * max(extent)  # covers the tile at any turn
        blocks, streets = self._streets(Rect(-half, -half, half, half))
        for street in streets:
            self._street(street, streets)
        self._build(blocks)

    @property
    def items(self) -> list[Item]:
        """Everything in the order of painting."""
        return [item for layer in Layer for item in self._layers[layer]]

    # Geometry

    def _place(self, points: np.ndarray) -> np.ndarray:
        """Turn and gently bend (N, 2) points of the plan into metres of the tile."""
        u, v = np.asarray(points, float).T
        bent_u = u + 3 * np.sin(2 * np.pi * v / 150 + self._phase[0])
        bent_v = v + 3 * np.sin(2 * np.pi * u / 170 + self._phase[1])
        cos, sin = np.cos(self._turn), np.sin(self._turn)
        turned = np.stack([bent_u * cos - bent_v * sin, bent_u * sin + bent_v * cos], 1)
        return turned + np.asarray(self.extent) / 2

    def _pose(self, u: float, v: float, angle: float) -> tuple[tuple[float, float], float]:
        """Centre and direction in the tile of something at (u, v)."""
        cos, sin = np.cos(angle) / 2, np.sin(angle) / 2
        ahead, behind = self._place(np.array([[u + cos, v + sin], [u - cos, v - sin]]))
        x, y = (ahead + behind) / 2
        return (float(x), float(y)), float(np.arctan2(*(ahead - behind)[::-1]))

    def _polygon(self, corners: np.ndarray) -> np.ndarray:
        """Place a polygon with enough points along its edges to follow the bend."""
        ends = np.roll(corners, -1, axis=0)
        edges = []
        for start, end in zip(corners, ends, strict=True):
            steps = max(1, int(np.hypot(*(end - start)) / 6))
            edges.append(start + (end - start) * np.linspace(0, 1, steps, endpoint=False)[:, None])
        return self._place(np.concatenate(edges))

    def _rect(
        self,
        layer: Layer,
        rect: Rect,
        surface: Surface,
        colour: Colour,
        label: int | None = None,
        height: float = 0.0,
    ) -> None:
        corners = np.array(
            [[rect.u0, rect.v0], [rect.u1, rect.v0], [rect.u1, rect.v1], [rect.u0, rect.v1]]
        )
        self._layers[layer].append(Patch(self._polygon(corners), surface, colour, label, height))

    def _box(
        self,
        layer: Layer,
        at: tuple[float, float, float],
        size: tuple[float, float],
        surface: Surface,
        colour: Colour,
        label: int | None = None,
        height: float = 0.0,
        chamfer: float = 0.0,
    ) -> None:
        """A rigid rectangle at (u, v, angle), its corners cut by chamfer metres."""
        (x, y), angle = self._pose(*at)
        a, b, c = size[0] / 2, size[1] / 2, chamfer
        outline = np.array(
            [[a - c, b], [a, b - c], [a, c - b], [a - c, -b],
             [c - a, -b], [-a, c - b], [-a, b - c], [c - a, b]]
        )  # fmt: skip
        cos, sin = np.cos(angle), np.sin(angle)
        points = outline @ np.array([[cos, sin], [-sin, cos]]) + [x, y]
        self._layers[layer].append(Patch(points, surface, colour, label, height))

    def _tint(self, palette: tuple[Colour, ...], spread: float = 0.08) -> Colour:
        """A colour of a palette, a little lighter or darker, warmer or colder."""
        colour = np.array(palette[self.rng.integers(len(palette))])
        warm = self.rng.normal(0, 0.02) * np.array([1, 0, -1])
        r, g, b = colour * (1 + self.rng.normal(0, spread) + warm)
        return float(r), float(g), float(b)

    # Streets

    def _divide(
        self, rect: Rect, limit: float, gaps: tuple[float, ...]
    ) -> tuple[list[Rect], list[Street]]:
        """Halve a rectangle until no side is beyond limit, leaving gaps for streets."""
        pieces, streets, todo = [], [], [(rect, 0)]
        while todo:
            piece, depth = todo.pop()
            long = int(np.argmax(piece.size))
            if piece.size[long] <= limit:
                pieces.append(piece)
                continue
            gap = gaps[min(depth, len(gaps) - 1)]
            low = piece[long]
            middle = low + piece.size[long] * self.rng.uniform(0.43, 0.57)
            ends = {long: middle - gap / 2, long + 2: middle + gap / 2}
            sides = list(piece)
            first = Rect(*(ends[long] if i == long + 2 else side for i, side in enumerate(sides)))
            second = Rect(*(ends[long + 2] if i == long else side for i, side in enumerate(sides)))
            between = Rect(*(ends.get(i, side) for i, side in enumerate(sides)))
            streets.append(Street(between, 1 - long, 1.5))
            todo += [(first, depth + 1), (second, depth + 1)]
        return pieces, streets

    def _streets(self, land: Rect) -> tuple[list[Rect], list[Street]]:
        return self._divide(land, 60, (11.0, 9.0, 7.8))

    def _street(self, street: Street, streets: list[Street]) -> None:
        rect, axis, walk = street
        colour = self._tint(GREYS[:4], 0.05)
        self._rect(Layer.SIDEWALK, rect, Surface.PAVING, self._tint(GREYS, 0.05), IMPERVIOUS)
        # A street runs on over the sidewalk of the one it meets.
        over = walk + 0.25
        road = rect.grow(over, -walk) if axis == 0 else rect.grow(-walk, over)
        kerb = road.grow(0, 0.15) if axis == 0 else road.grow(0.15, 0)
        self._rect(Layer.KERB, kerb, Surface.PAVING, (168, 166, 160), IMPERVIOUS)
        self._rect(Layer.ROAD, road, Surface.ASPHALT, colour, IMPERVIOUS)
        low, high = rect[axis], rect[axis + 2]
        across = rect.centre[1 - axis]
        half = rect.size[1 - axis] / 2 - walk
        self._road_repairs(axis, across, half, (low, high), colour)
        if half > 2.9:
            for along in np.arange(low + 5, high - 5, 6.0):
                self._along(Layer.MARK, axis, (along, along + 2.5), (across - 0.07, across + 0.07))
            for end in (low + 1.2, high - 3.6):
                for stripe in np.arange(across - half + 0.4, across + half - 0.6, 1.0):
                    self._along(Layer.MARK, axis, (end, end + 2.4), (stripe, stripe + 0.5))
        self._kerb_cars(street, streets)
        self._street_trees(street)

    def _along(
        self,
        layer: Layer,
        axis: int,
        along: tuple[float, float],
        across: tuple[float, float],
        colour: Colour = (214, 214, 208),
    ) -> None:
        rect = (along[0], across[0], along[1], across[1])
        u0, v0, u1, v1 = rect if axis == 0 else (rect[1], rect[0], rect[3], rect[2])
        self._rect(layer, Rect(u0, v0, u1, v1), Surface.ASPHALT, colour)

    def _road_repairs(
        self, axis: int, across: float, half: float, span: tuple[float, float], colour: Colour
    ) -> None:
        """Patches of newer and older asphalt, and manholes."""
        for along in np.arange(span[0], span[1], 9.0):
            start = along + self.rng.uniform(0, 7)
            side = across + self.rng.uniform(-0.8, 0.3) * half
            shade = self.rng.choice([0.86, 0.9, 1.07])
            tone = (colour[0] * shade, colour[1] * shade, colour[2] * shade)
            length, width = self.rng.uniform(0.8, 6), self.rng.uniform(0.6, 1.6)
            self._along(Layer.ROAD, axis, (start, start + length), (side, side + width), tone)
            if self.rng.random() < 0.4:
                spot = (start + 3, across + 0.4 * half)
                u, v = spot if axis == 0 else spot[::-1]
                self._box(
                    Layer.MARK, (u, v, 0), (0.7, 0.7), Surface.SMOOTH, (72, 70, 68), chamfer=0.2
                )

    def _kerb_cars(self, street: Street, streets: list[Street]) -> None:
        """Cars parked along both kerbs and some that drive, away from junctions."""
        rect, axis, walk = street
        half = rect.size[1 - axis] / 2 - walk
        others = [other.rect.grow(5, 5) for other in streets if other is not street]
        for side in (-1, 1):
            along = rect[axis] + self.rng.uniform(3, 8)
            while along < rect[axis + 2] - 4:
                lane = half - 1.05 if self.rng.random() < 0.93 else half * 0.42
                across = rect.centre[1 - axis] + side * lane
                u, v = (along, across) if axis == 0 else (across, along)
                crossing = any(o.u0 < u < o.u1 and o.v0 < v < o.v1 for o in others)
                if not crossing and self.rng.random() < 0.32:
                    turn = axis * np.pi / 2 + (np.pi if side > 0 else 0) + self.rng.normal(0, 0.03)
                    park = self._skip if self.rng.random() < 0.06 else self._car
                    park(u, v, turn)
                along += self.rng.uniform(5.4, 6.8)

    def _car(self, u: float, v: float, angle: float) -> None:
        colour = self._tint(CARS, 0.06)
        length, width = self.rng.uniform(4.1, 4.9), self.rng.uniform(1.75, 1.9)
        ahead = np.array([np.cos(angle), np.sin(angle)])
        at = (u, v, angle)
        self._box(Layer.BOX, at, (length, width), Surface.SMOOTH, colour, CAR, 1.0, 0.25)
        back = np.array([u, v]) - 0.05 * length * ahead
        glass, roof = (*back, angle), (*(back - 0.02 * length * ahead), angle)
        dark = (34, 38, 44)
        self._box(
            Layer.BOX,
            glass,
            (0.56 * length, 0.86 * width),
            Surface.SMOOTH,
            dark,
            height=0.4,
            chamfer=0.15,
        )
        self._box(
            Layer.BOX,
            roof,
            (0.34 * length, 0.74 * width),
            Surface.SMOOTH,
            colour,
            height=0.1,
            chamfer=0.1,
        )

    def _street_trees(self, street: Street) -> None:
        rect, axis, walk = street
        if self.rng.random() < 0.35:
            return
        side = self.rng.choice([-1, 1])
        across = rect.centre[1 - axis] + side * (rect.size[1 - axis] / 2 - 0.6 * walk)
        for along in np.arange(rect[axis] + 6, rect[axis + 2] - 6, 9.0):
            spot = (along + self.rng.normal(0, 0.5), across)
            u, v = spot if axis == 0 else spot[::-1]
            if self.rng.random() < 0.7:
                self._crown(u, v, self.rng.uniform(1.7, 3.2), tall=True)

    # Blocks and lots

    def _build(self, blocks: list[Rect]) -> None:
        """Divide blocks into lots and build on them, every class of things near the middle."""
        lots = []
        for block in blocks:
            if min(block.size) > 32 and self.rng.random() < 0.3:
                block, open_sides = self._terrace(block)
                lots += open_sides
            lots += self._divide(block, 25, (0.0,))[0]
        kinds = {
            self._house: 5, self._hall: 5, self._grove: 5, self._thicket: 6,
            self._plaza: 5, self._parking: 1, self._works: 1, self._court: 1,
        }  # fmt: skip
        clutter = (self._works, self._court)[self.rng.integers(2)]
        deck = [
            self._house,
            self._hall,
            self._hall,
            self._grove,
            self._grove,
            self._thicket,
            clutter,
        ]
        self.rng.shuffle(deck)
        for lot in sorted(lots, key=lambda lot: np.hypot(*lot.centre)):
            if not deck:
                deck = [kind for kind, count in kinds.items() for _ in range(count)]
                self.rng.shuffle(deck)
            deck.pop()(lot)

    def _lawn(self, lot: Rect) -> None:
        surface = Surface.GRASS if self.rng.random() < 0.25 else Surface.FOLIAGE
        self._rect(Layer.LOT, lot, surface, self._tint(GREENS), LOW_VEGETATION)
        for _ in range(self.rng.integers(1, 4)):  # worn, mown and wilder spots
            at, size = (*self._spot(lot), self.rng.uniform(0, 3)), self.rng.uniform(1.5, 4.5, 2)
            self._box(Layer.LOT, at, tuple(size), surface, self._tint(GREENS), chamfer=0.6)
        for _ in range(int(lot.size[0] * lot.size[1] / 60)):  # dark ivy, like a tree's shadow
            (x, y), _ = self._pose(*self._spot(lot, 2), 0)
            colour = tuple(0.55 * band for band in self._tint(GREENS))
            radius = self.rng.uniform(1.2, 3)
            self._layers[Layer.LOT].append(
                Crown((x, y), radius, 0.2, LOW_VEGETATION, Surface.FOLIAGE, colour)
            )

    def _spot(self, lot: Rect, margin: float = 1.0) -> tuple[float, float]:
        inner = lot.grow(-min(margin, lot.size[0] / 3), -min(margin, lot.size[1] / 3))
        return self.rng.uniform(inner.u0, inner.u1), self.rng.uniform(inner.v0, inner.v1)

    def _crown(self, u: float, v: float, radius: float, tall: bool) -> None:
        (x, y), _ = self._pose(u, v, 0)
        height = np.clip(radius * self.rng.uniform(1.5, 2.6) + 1.5, 3, 15)
        surface = Surface.FOLIAGE if self.rng.random() < 0.75 else Surface.GRASS
        layer, label = (Layer.TREE, TREE) if tall else (Layer.SHRUB, LOW_VEGETATION)
        top = float(height if tall else self.rng.uniform(0.4, 1.3))
        self._layers[layer].append(Crown((x, y), radius, top, label, surface, self._tint(GREENS)))

    def _plants(self, lot: Rect, count: int, tall: float, keep_off: Rect | None = None) -> None:
        """Plant crowns, the share tall of them trees, the others shrubs of the same look."""
        for _ in range(count):
            radius = self.rng.uniform(1.5, 4.5)
            u, v = self._spot(lot, 0.6 * radius)
            if keep_off is not None:
                near = keep_off.grow(0.7 * radius, 0.7 * radius)
                if near.u0 < u < near.u1 and near.v0 < v < near.v1:
                    continue
            self._crown(u, v, radius, bool(self.rng.random() < tall))

    def _roof(
        self, at: tuple[float, float, float], size: tuple[float, float], height: float, flat: bool
    ) -> None:
        """A roof with what stands on it; a flat one of height 0 is paving."""
        label = BUILDING if height > 0 else IMPERVIOUS
        centre, angle = self._pose(*at)
        if flat:
            cell = [(1.0, 1.0), (0.5, 0.5), (1.2, size[1]), (2.5, 2.5)][self.rng.integers(4)]
            surface = [Surface.ASPHALT, Surface.PAVING][self.rng.integers(2)]
            colour, pitch = self._tint(GREYS), 0.0
        else:
            cell, surface, pitch = (0.3, 0.35), Surface.TILES, self.rng.uniform(0.5, 1.0)
            colour = self._tint(REDS if self.rng.random() < 0.4 else GREYS)
            if height == 0:
                pitch = 0.0
        tone = self.rng.uniform(0.72, 1.0) if height == 0 else 1.0
        hipped = bool(self.rng.random() < 0.3)
        self._layers[Layer.PLATE].append(
            Plate(centre, angle, *size, label, surface, colour, height, pitch, hipped, cell, tone)
        )
        self._fixtures(at, size, height, flat, pitch)

    def _fixtures(
        self,
        at: tuple[float, float, float],
        size: tuple[float, float],
        height: float,
        flat: bool,
        pitch: float,
    ) -> None:
        """Chimneys, skylights, panels and plant on a roof; lids, benches and slabs on a plaza."""
        cos, sin = np.cos(at[2]), np.sin(at[2])
        raised = float(height > 0)
        for _ in range(self.rng.integers(1, 5) if flat else self.rng.integers(1, 4)):
            a = self.rng.uniform(-0.4, 0.4) * size[0]
            b = self.rng.uniform(-0.38, 0.38) * size[1]
            kind = self.rng.integers(4)
            if flat:
                wide = tuple(self.rng.uniform(0.6, 2.2, 2))
                colour = [(196, 196, 192), (86, 88, 92), (60, 70, 84), (150, 148, 144)][kind]
                rise = raised * [0.9, 0.2, 0.3, 0.6][kind]
            elif kind == 0:  # by the ridge, where chimneys stand
                b, wide, colour, rise = 0.3, (0.7, 0.6), (112, 82, 72), 1.0 * raised
            else:
                wide, colour, rise = (0.8, 1.1), (66, 76, 88), 0.05
            spot = (at[0] + a * cos - b * sin, at[1] + a * sin + b * cos, at[2])
            self._box(Layer.FIXTURE, spot, wide, Surface.SMOOTH, colour, height=rise)

    def _terrace(self, block: Rect) -> tuple[Rect, list[Rect]]:
        """Line a block with houses wall to wall; returns the yard inside and the open sides."""
        depth = self.rng.uniform(8, 10)
        yard = block.grow(-depth, -depth)
        self._rect(Layer.LOT, block, Surface.PAVING, self._tint(GREYS), IMPERVIOUS)
        open_sides = []
        eaves, flat = self.rng.uniform(7, 11), bool(self.rng.random() < 0.3)
        for axis, across in ((0, block.v0), (0, yard.v1), (1, block.u0), (1, yard.u1)):
            low, high = (
                (block if axis == 0 else yard)[axis],
                (block if axis == 0 else yard)[axis + 2],
            )
            if self.rng.random() < 0.2:
                side = (low, across, high, across + depth)
                open_sides.append(
                    Rect(*(side if axis == 0 else (side[1], side[0], side[3], side[2])))
                )
                continue
            cuts = np.linspace(low, high, max(2, round((high - low) / 10) + 1))
            cuts[1:-1] += self.rng.uniform(-1.5, 1.5, len(cuts) - 2)
            for start, end in pairwise(cuts):
                spot = ((start + end) / 2, across + depth / 2)
                u, v = spot if axis == 0 else spot[::-1]
                height = eaves + self.rng.normal(0, 0.5)
                self._roof((u, v, axis * np.pi / 2), (end - start + 0.3, depth), height, flat)
        return yard.grow(-0.4, -0.4), open_sides

    def _house(self, lot: Rect) -> None:
        self._lawn(lot)
        u, v = lot.centre
        turn = int(self.rng.integers(2))
        length = min(self.rng.uniform(9, 14), lot.size[turn] - 3)
        width = min(self.rng.uniform(8, 10.5), lot.size[1 - turn] - 3, length)
        half = (length / 2, width / 2) if turn == 0 else (width / 2, length / 2)
        slack = [max(0.0, s / 2 - h - 1.5) for s, h in zip(lot.size, half, strict=True)]
        u, v = u + self.rng.uniform(-1, 1) * slack[0], v + self.rng.uniform(-1, 1) * slack[1]
        house = Rect(u - half[0], v - half[1], u + half[0], v + half[1])
        drive = Rect(house.u0, lot.v0, house.u0 + 3, house.v0)
        stone = self._tint(GREYS + REDS)
        self._rect(Layer.LOT, house.grow(0.5, 0.5), Surface.PAVING, stone, IMPERVIOUS)
        self._rect(Layer.LOT, drive, Surface.PAVING, stone, IMPERVIOUS)
        if drive.size[1] > 4.6:
            self._car(*drive.centre, np.pi / 2)
        self._roof(
            (u, v, turn * np.pi / 2),
            (length, width),
            self.rng.uniform(3.5, 7),
            bool(self.rng.random() < 0.2),
        )
        self._hedges(lot)
        self._plants(lot, int(self.rng.integers(5, 10)), 0.5, house)
        if self.rng.random() < 0.3:
            self._pool(lot, house)

    def _hedges(self, lot: Rect) -> None:
        colour = self._tint(GREENS)
        u0, v0, u1, v1 = lot
        for side in (
            Rect(u0, v0, u0 + 0.9, v1),
            Rect(u1 - 0.9, v0, u1, v1),
            Rect(u0, v1 - 0.9, u1, v1),
        ):
            if self.rng.random() < 0.7:
                self._rect(Layer.SHRUB, side, Surface.FOLIAGE, colour, LOW_VEGETATION, 1.2)

    def _pool(self, lot: Rect, house: Rect) -> None:
        for _ in range(8):
            u, v = self._spot(lot, 3)
            free = house.grow(3, 3)
            if not (free.u0 < u < free.u1 and free.v0 < v < free.v1):
                self._box(
                    Layer.ROAD, (u, v, 0), (6.6, 4.2), Surface.PAVING, (186, 180, 168), IMPERVIOUS
                )
                self._box(Layer.MARK, (u, v, 0), (5.4, 3.0), Surface.WATER, (70, 140, 160), CLUTTER)
                return

    def _slab(self, lot: Rect, height: float) -> Rect:
        """A flat roof or, at height 0, a plaza: the same sizes, colours and surroundings."""
        if self.rng.random() < 0.7:
            self._lawn(lot)
        else:
            self._rect(Layer.LOT, lot, Surface.PAVING, self._tint(GREYS), IMPERVIOUS)
        inner = lot.grow(-self.rng.uniform(1, 2.5), -self.rng.uniform(1, 2.5))
        turn = int(np.argmax(inner.size))
        size = (inner.size[turn], inner.size[1 - turn])
        self._roof((*inner.centre, turn * np.pi / 2), size, height, bool(self.rng.random() < 0.7))
        self._plants(lot, 5, 0.6, inner)
        return inner

    def _hall(self, lot: Rect) -> None:
        self._slab(lot, self.rng.uniform(4, 12))

    def _plaza(self, lot: Rect) -> None:
        inner = self._slab(lot, 0.0)
        if self.rng.random() < 0.15:
            u, v = self._spot(inner, 3)
            self._container(u, v, self.rng.uniform(0, np.pi))

    def _parking(self, lot: Rect) -> None:
        self._rect(Layer.LOT, lot, Surface.ASPHALT, self._tint(GREYS[:4]), IMPERVIOUS)
        axis = int(np.argmax(lot.size))
        for side in (lot[1 - axis] + 2.9, lot[3 - axis] - 2.9):
            for along in np.arange(lot[axis] + 1.5, lot[axis + 2] - 2, 2.6):
                self._along(
                    Layer.MARK, axis, (along - 0.06, along + 0.06), (side - 2.4, side + 2.4)
                )
                if self.rng.random() < 0.62:
                    u, v = (along + 1.3, side) if axis == 0 else (side, along + 1.3)
                    turn = (1 - axis) * np.pi / 2 + np.pi * self.rng.integers(2)
                    self._car(u, v, turn + self.rng.normal(0, 0.04))
        self._plants(lot, 2, 1.0)

    def _grove(self, lot: Rect) -> None:
        self._lawn(lot)
        self._plants(lot, int(lot.size[0] * lot.size[1] / 18), 0.85)

    def _thicket(self, lot: Rect) -> None:
        self._lawn(lot)
        self._plants(lot, int(lot.size[0] * lot.size[1] / 22), 0.08)
        if self.rng.random() < 0.5:
            path = lot.grow(-lot.size[0] / 2 + 0.8, 0)
            self._rect(Layer.ROAD, path, Surface.PAVING, self._tint(GREYS[4:]), IMPERVIOUS)

    def _container(self, u: float, v: float, angle: float) -> None:
        colour = self._tint(BOXES, 0.05)
        self._box(Layer.BOX, (u, v, angle), (6.06, 2.44), Surface.SMOOTH, colour, CLUTTER, 2.6)
        cos, sin = np.cos(angle), np.sin(angle)
        dark = (colour[0] * 0.82, colour[1] * 0.82, colour[2] * 0.82)
        for rib in np.arange(-2.7, 2.8, 0.6):
            self._box(
                Layer.BOX, (u + rib * cos, v + rib * sin, angle), (0.15, 2.3), Surface.SMOOTH, dark
            )

    def _skip(self, u: float, v: float, angle: float) -> None:
        """An open container for rubble, as long as a car."""
        at, colour = (u, v, angle), self._tint(BOXES, 0.05)
        self._box(Layer.BOX, at, (3.8, 1.9), Surface.SMOOTH, colour, CLUTTER, 1.4, 0.1)
        self._box(
            Layer.BOX, at, (3.4, 1.5), Surface.SOIL, self._tint(((112, 96, 80),)), chamfer=0.2
        )

    def _works(self, lot: Rect) -> None:
        """A building site: bare soil, heaps of sand, containers."""
        self._rect(Layer.LOT, lot, Surface.PAVING, self._tint(GREYS), IMPERVIOUS)
        self._rect(
            Layer.LOT, lot.grow(-1.5, -2.5), Surface.SOIL, self._tint(((168, 140, 104),)), CLUTTER
        )
        for _ in range(3):
            (x, y), _ = self._pose(*self._spot(lot, 4), 0)
            radius, colour = self.rng.uniform(1.5, 3), self._tint(((190, 164, 122),))
            self._layers[Layer.BOX].append(
                Crown((x, y), radius, 1.6, CLUTTER, Surface.SOIL, colour)
            )
        for _ in range(2):
            u, v = self._spot(lot, 4)
            self._container(u, v, self.rng.integers(2) * np.pi / 2)

    def _court(self, lot: Rect) -> None:
        """A red sports court with its lines in a lawn."""
        self._lawn(lot)
        axis = int(np.argmax(lot.size))
        court = lot.grow(-2, -2)
        self._rect(Layer.ROAD, court, Surface.SOIL, self._tint(((152, 92, 70),), 0.04), CLUTTER)
        low, high = court[axis] + 1.5, court[axis + 2] - 1.5
        left, right = court[1 - axis] + 1.2, court[3 - axis] - 1.2
        middle = (left + right) / 2
        for along in (low, (low + high) / 2, high):
            self._along(Layer.MARK, axis, (along - 0.06, along + 0.06), (left, right))
        for across in (left, middle, right):
            self._along(Layer.MARK, axis, (low, high), (across - 0.06, across + 0.06))
        self._plants(lot, 4, 0.6, court)
