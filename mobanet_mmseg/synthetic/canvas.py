"""Painting a plan: items in metres become labels, surfaces, colours and heights in pixels."""

from collections.abc import Sequence

import cv2
import numpy as np

from mobanet_mmseg.synthetic.fields import noise
from mobanet_mmseg.synthetic.items import Crown, Item, Patch, Plate, Surface


class Canvas:
    """Paints items into labels, surfaces, colours and heights of one tile.

    Args:
        ground: (H, W) float32, height of the bare ground, metres.
        gsd: Metres per pixel.
        rng: Source of the noise that roughens outlines and tiles.
    """

    def __init__(self, ground: np.ndarray, gsd: float, rng: np.random.Generator) -> None:
        shape = ground.shape
        self.gsd = gsd
        self.ground = ground
        self.heights = ground.copy()
        self.labels = np.zeros(shape, np.uint8)
        self.surfaces = np.full(shape, Surface.PAVING, np.uint8)
        self.colours = np.full((*shape, 3), 128, np.uint8)
        self.lumps = noise(shape, 1.1 / gsd, rng)
        self._mosaic = rng.standard_normal((61, 67)).astype(np.float32)

    def draw(self, items: Sequence[Item]) -> None:
        """Paint items in order, later ones over earlier ones."""
        painters = {Patch: self._patch, Plate: self._plate, Crown: self._crown}
        for item in items:
            painters[type(item)](item)

    def _window(self, low: np.ndarray, high: np.ndarray) -> tuple[slice, slice] | None:
        """Rows and columns between two (x, y) points in metres, None outside of the tile."""
        x0, y0 = np.maximum(np.floor(low / self.gsd).astype(int), 0)
        x1, y1 = np.ceil(high / self.gsd).astype(int) + 1
        window = (
            slice(int(y0), min(int(y1), self.labels.shape[0])),
            slice(int(x0), min(int(x1), self.labels.shape[1])),
        )
        empty = window[0].start >= window[0].stop or window[1].start >= window[1].stop
        return None if empty else window

    def _grid(
        self, window: tuple[slice, slice], centre: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give x and y of a window's pixels from a centre, metres."""
        rows, cols = (
            np.arange(s.start, s.stop, dtype=np.float32) + np.float32(0.5) for s in window
        )
        return (cols * self.gsd - centre[0])[None], (rows * self.gsd - centre[1])[:, None]

    def _patch(self, patch: Patch) -> None:
        window = self._window(patch.points.min(0), patch.points.max(0))
        if window is None:
            return
        rows, cols = window
        points = patch.points / self.gsd - [cols.start + 0.5, rows.start + 0.5]
        corners = [np.round(points * 256).astype(np.int32)]
        cv2.fillPoly(self.colours[window], corners, patch.colour, shift=8)
        cv2.fillPoly(self.surfaces[window], corners, int(patch.surface), shift=8)
        if patch.label is not None:
            cv2.fillPoly(self.labels[window], corners, patch.label, shift=8)
        if patch.height:
            mask = np.zeros(self.labels[window].shape, np.uint8)
            inside = cv2.fillPoly(mask, corners, 1, shift=8) > 0
            base = self.heights if patch.label is None else self.ground
            self.heights[window][inside] = base[window][inside] + np.float32(patch.height)

    def _plate(self, plate: Plate) -> None:
        cos, sin = np.float32(np.cos(plate.angle)), np.float32(np.sin(plate.angle))
        reach = np.abs([[cos, -sin], [sin, cos]]) @ [plate.length / 2, plate.width / 2]
        window = self._window(np.array(plate.centre) - reach, np.array(plate.centre) + reach)
        if window is None:
            return
        x, y = self._grid(window, plate.centre)
        a, b = x * cos + y * sin, y * cos - x * sin
        to_end, to_side = plate.length / 2 - np.abs(a), plate.width / 2 - np.abs(b)
        rim = np.minimum(to_end, to_side)
        inside = rim > 0
        if plate.height:
            middle = self.ground[window].mean() + np.float32(plate.height)
            top = middle + np.float32(plate.pitch) * (rim if plate.hipped else to_side)
            if plate.pitch == 0:
                top = top + np.float32(0.35) * (rim < 0.3)  # parapet
            inside &= top > self.heights[window]
            self.heights[window][inside] = top[inside]
        light = self._tiling(a, b, plate) * np.where(b < 0, np.float32(plate.tone), 1)
        light *= np.where(rim < 0.25, np.float32(1.13), 1)
        colour = light[..., None] * np.array(plate.colour, np.float32)
        self.colours[window][inside] = np.clip(colour[inside], 0, 255)
        self.surfaces[window][inside] = plate.surface
        self.labels[window][inside] = plate.label

    def _tiling(self, a: np.ndarray, b: np.ndarray, plate: Plate) -> np.ndarray:
        """Brightness of tiles with joints: each tile a little different."""
        visible = min(1.0, min(plate.cell) / (2.5 * self.gsd))
        across, along = a / plate.cell[0] + 500, b / plate.cell[1] + 500
        i, j = across.astype(np.int32), along.astype(np.int32)
        light = 1 + np.float32(0.045 * visible) * self._mosaic[i % 61, j % 67]
        joint = np.minimum((across - i) * plate.cell[0], (along - j) * plate.cell[1]) < max(
            self.gsd, 0.06
        )
        return light * np.where(joint, np.float32(1 - 0.1 * visible), 1)

    def _crown(self, crown: Crown) -> None:
        reach = crown.radius * 1.35
        window = self._window(np.array(crown.centre) - reach, np.array(crown.centre) + reach)
        if window is None:
            return
        x, y = self._grid(window, crown.centre)
        lumps = self.lumps[window]
        distance = np.sqrt(x * x + y * y) / np.float32(crown.radius) + np.float32(0.13) * lumps
        dome = np.sqrt(np.clip(1 - distance * distance, 0, 1)) * (
            1 - np.float32(0.08) * np.abs(lumps)
        )
        top = self.ground[window] + np.float32(crown.height) * (
            np.float32(0.35) + np.float32(0.65) * dome
        )
        inside = (distance < 1) & (top > self.heights[window])
        self.heights[window][inside] = top[inside]
        self.colours[window][inside] = np.clip(crown.colour, 0, 255)
        self.surfaces[window][inside] = crown.surface
        self.labels[window][inside] = crown.label
