"""Geometry of the plan: u and v in metres, before the plan is turned and bent into the tile.

Axis 0 runs along u, axis 1 along v.
"""

from typing import NamedTuple

import numpy as np

Span = tuple[float, float]


def to_uv(axis: int, along: float, across: float) -> tuple[float, float]:
    """Turn extents or coordinates along and across an axis into those of u and v."""
    return (along, across) if axis == 0 else (across, along)


class Pose(NamedTuple):
    """A point and a direction, radians from u towards v."""

    u: float
    v: float
    angle: float

    def moved(self, ahead: float, aside: float = 0.0) -> 'Pose':
        """Move along the direction and across it, metres."""
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return Pose(
            self.u + ahead * cos - aside * sin, self.v + ahead * sin + aside * cos, self.angle
        )


class Rect(NamedTuple):
    """A rectangle with sides along u and v, metres."""

    u0: float
    v0: float
    u1: float
    v1: float

    @classmethod
    def along(cls, axis: int, along: Span, across: Span) -> 'Rect':
        """Make the rectangle that spans along and across an axis."""
        (u0, u1), (v0, v1) = (along, across) if axis == 0 else (across, along)
        return cls(u0, v0, u1, v1)

    @property
    def size(self) -> tuple[float, float]:
        """Extents along u and v, metres."""
        return self.u1 - self.u0, self.v1 - self.v0

    @property
    def area(self) -> float:
        """Square metres."""
        return self.size[0] * self.size[1]

    @property
    def centre(self) -> tuple[float, float]:
        """Middle point."""
        return (self.u0 + self.u1) / 2, (self.v0 + self.v1) / 2

    @property
    def long_axis(self) -> int:
        """Axis of the longer sides."""
        return int(np.argmax(self.size))

    def span(self, axis: int) -> Span:
        """Lowest and highest coordinate of an axis."""
        return self[axis], self[axis + 2]

    def grow(self, along_u: float, along_v: float) -> 'Rect':
        """Move each side outwards, metres; negative moves it inwards."""
        return Rect(self.u0 - along_u, self.v0 - along_v, self.u1 + along_u, self.v1 + along_v)

    def holds(self, u: float, v: float) -> bool:
        """Whether a point lies inside."""
        return self.u0 < u < self.u1 and self.v0 < v < self.v1

    def spot(self, rng: np.random.Generator, margin: float = 1.0) -> tuple[float, float]:
        """Draw a point inside, away from the sides by a margin, metres, where there is room."""
        inner = self.grow(-min(margin, self.size[0] / 3), -min(margin, self.size[1] / 3))
        return rng.uniform(inner.u0, inner.u1), rng.uniform(inner.v0, inner.v1)
