"""A drawing board: takes shapes of the plan, places them in the tile and keeps them in layers."""

from enum import IntEnum

import numpy as np

from mobanet_mmseg.synthetic.items import Colour, Crown, Item, Patch, Plate, Surface
from mobanet_mmseg.synthetic.layout import Pose, Rect, Span


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


class Draft:
    """Collects the items of one tile, whose plan is turned and gently bent.

    Args:
        extent: Tile's width and height, metres.
        rng: Source of every choice.
    """

    def __init__(self, extent: tuple[float, float], rng: np.random.Generator) -> None:
        self.rng = rng
        self._extent = extent
        self._turn = rng.uniform(0, np.pi)
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        self._layers: dict[Layer, list[Item]] = {layer: [] for layer in Layer}

    @property
    def items(self) -> list[Item]:
        """Everything in the order of painting."""
        return [item for layer in Layer for item in self._layers[layer]]

    def rect(
        self,
        layer: Layer,
        rect: Rect,
        surface: Surface,
        colour: Colour,
        label: int | None = None,
        height: float = 0.0,
    ) -> None:
        """Add a rectangle that follows the bend of the plan."""
        corners = np.array(
            [[rect.u0, rect.v0], [rect.u1, rect.v0], [rect.u1, rect.v1], [rect.u0, rect.v1]]
        )
        self._layers[layer].append(Patch(self._polygon(corners), surface, colour, label, height))

    def stripe(self, axis: int, along: Span, across: Span) -> None:
        """Add a stripe of white paint, along an axis of the plan."""
        stripe = Rect.along(axis, along, across)
        self.rect(Layer.MARK, stripe, Surface.ASPHALT, (214, 214, 208))

    def box(
        self,
        layer: Layer,
        at: Pose,
        size: tuple[float, float],
        surface: Surface,
        colour: Colour,
        label: int | None = None,
        height: float = 0.0,
        chamfer: float = 0.0,
    ) -> None:
        """Add a rigid rectangle, its corners cut by chamfer metres."""
        centre, angle = self._locate(at)
        a, b, c = size[0] / 2, size[1] / 2, chamfer
        outline = np.array(
            [[a - c, b], [a, b - c], [a, c - b], [a - c, -b],
             [c - a, -b], [-a, c - b], [-a, b - c], [c - a, b]]
        )  # fmt: skip
        cos, sin = np.cos(angle), np.sin(angle)
        points = outline @ np.array([[cos, sin], [-sin, cos]]) + centre
        self._layers[layer].append(Patch(points, surface, colour, label, height))

    def plate(
        self,
        at: Pose,
        size: tuple[float, float],
        label: int,
        surface: Surface,
        colour: Colour,
        *,
        height: float,
        pitch: float,
        hipped: bool,
        cell: tuple[float, float],
        tone: float,
    ) -> None:
        """Add a roof, or paving that looks like one."""
        plate = Plate(
            *self._locate(at), *size, label, surface, colour, height, pitch, hipped, cell, tone
        )
        self._layers[Layer.PLATE].append(plate)

    def crown(
        self,
        layer: Layer,
        at: tuple[float, float],
        radius: float,
        height: float,
        label: int,
        surface: Surface,
        colour: Colour,
    ) -> None:
        """Add a dome at (u, v)."""
        centre, _ = self._locate(Pose(*at, 0))
        self._layers[layer].append(Crown(centre, radius, height, label, surface, colour))

    def _place(self, points: np.ndarray) -> np.ndarray:
        """Turn and bend (N, 2) points of the plan into metres of the tile."""
        u, v = points.T
        bent_u = u + 3 * np.sin(2 * np.pi * v / 150 + self._phase[0])
        bent_v = v + 3 * np.sin(2 * np.pi * u / 170 + self._phase[1])
        cos, sin = np.cos(self._turn), np.sin(self._turn)
        turned = np.stack([bent_u * cos - bent_v * sin, bent_u * sin + bent_v * cos], 1)
        return turned + np.asarray(self._extent) / 2

    def _locate(self, pose: Pose) -> tuple[tuple[float, float], float]:
        """Centre and direction in the tile of a pose of the plan."""
        u, v, angle = pose
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
