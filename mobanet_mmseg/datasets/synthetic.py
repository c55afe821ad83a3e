"""Synthetic aerial tiles in the layout, names and quirks of the ISPRS Potsdam archive.

A plan (``city.py``) is painted into labels, heights and colours, lit by one sun that casts shadows
from the heights, and written as the archive's GeoTIFFs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.transform import from_origin
from rich.progress import track

from mobanet_mmseg.datasets.city import CityPlan, Crown, Item, Patch, Plate, Surface

TRAIN_TILES = (
    '2_10', '2_11', '2_12', '3_10', '3_11', '3_12', '4_10', '4_11', '4_12', '5_10', '5_11', '5_12',
    '6_7', '6_8', '6_9', '6_10', '6_11', '6_12', '7_7', '7_8', '7_9', '7_10', '7_11', '7_12',
)  # fmt: skip
TEST_TILES = (
    '2_13', '2_14', '3_13', '3_14', '4_13', '4_14', '4_15',
    '5_13', '5_14', '5_15', '6_13', '6_14', '6_15', '7_13',
)  # fmt: skip
PALETTE = np.array(
    [[255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0], [255, 0, 0]], np.uint8
)
BANDS = {'rgb': (0, 1, 2), 'irrg': (3, 0, 1), 'rgbir': (0, 1, 2, 3)}
FOLDERS = {'rgb': '2_Ortho_RGB', 'irrg': '3_Ortho_IRRG', 'rgbir': '4_Ortho_RGBIR'}

# Least share of each class in a tile.
SHARES = np.array([0.1, 0.1, 0.1, 0.1, 0.0125, 0.0125])

# One row per Surface: micro-relief, metres; brightness amplitude of the 6 m, 1.6 m, 0.4 m and pixel
# noise; tint of the noise towards yellow; infrared over green.
TEXTURES = np.array([
    [0.000, 0.060, 0.030, 0.025, 0.035, 0.00, 0.95],  # asphalt
    [0.000, 0.050, 0.025, 0.025, 0.035, 0.00, 1.00],  # paving
    [0.000, 0.050, 0.020, 0.020, 0.025, 0.00, 1.05],  # tiles
    [0.050, 0.080, 0.060, 0.060, 0.050, 0.045, 1.75],  # grass
    [0.180, 0.080, 0.060, 0.080, 0.080, 0.045, 1.80],  # foliage
    [0.020, 0.060, 0.040, 0.030, 0.040, 0.02, 1.10],  # soil
    [0.000, 0.010, 0.010, 0.010, 0.010, 0.00, 0.95],  # smooth
    [0.000, 0.040, 0.060, 0.040, 0.010, 0.00, 0.15],  # water
], np.float32)  # fmt: skip

SUN_AZIMUTH = 150.0  # degrees clockwise from north: shadows fall to the upper left
SUN_ELEVATION = 58.0
STRIP = 256  # rows lit at a time, to bound the memory


@dataclass(frozen=True)
class SyntheticTile:
    """One tile as pixels.

    Args:
        image: (H, W, 4) uint8, red, green, blue, infrared.
        dsm: (H, W) float32, surface height, metres.
        ground: (H, W) float32, height of the bare ground, metres.
        labels: (H, W) uint8, class indices.
    """

    image: np.ndarray
    dsm: np.ndarray
    ground: np.ndarray
    labels: np.ndarray


def make_tile(name: str, shape: tuple[int, int], seed: int = 0, gsd: float = 0.05) -> SyntheticTile:
    """Make one tile; the same name, shape, seed and gsd always give the same pixels.

    Args:
        name: Tile name as ``row_col``, for example ``2_10``.
        shape: Rows and columns, pixels.
        seed: Non-negative number of the city.
        gsd: Ground sampling distance, metres per pixel.

    Raises:
        ValueError: If the name is not ``row_col``, a size is not positive or the seed is negative.
    """
    row, col = _row_col(name)
    if min(shape) < 1 or gsd <= 0 or seed < 0:
        raise ValueError(
            f'A tile of {shape} pixels at {gsd} m with seed {seed} cannot be made: give a positive '
            'size and gsd and a seed that is not negative.'
        )
    rng = np.random.default_rng([seed, row, col])
    items = _accepted_plan((shape[1] * gsd, shape[0] * gsd), rng)
    ground = _terrain(shape, rng)
    canvas = Canvas(ground, gsd, rng)
    canvas.draw(items)
    image = _photograph(canvas, rng)
    return SyntheticTile(image, _measured_heights(canvas, rng), ground, canvas.labels)


def _row_col(name: str) -> tuple[int, int]:
    parts = name.split('_')
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise ValueError(f'Tile name {name!r} is not row_col: write it as for example 2_10.')
    return int(parts[0]), int(parts[1])


def _accepted_plan(extent: tuple[float, float], rng: np.random.Generator) -> list[Item]:
    """The first plan, or the best of twenty, whose classes all have their share."""
    coarse = max(0.25, max(extent) / 1200)
    shape = (max(1, round(extent[1] / coarse)), max(1, round(extent[0] / coarse)))
    best, best_items = -1.0, []
    for _ in range(20):
        items = CityPlan(extent, rng).items
        canvas = Canvas(np.zeros(shape, np.float32), coarse, np.random.default_rng(0))
        canvas.draw(items)
        shares = np.bincount(canvas.labels.ravel(), minlength=len(SHARES)) / canvas.labels.size
        score = float((shares / SHARES).min())
        if score > best:
            best, best_items = score, items
        if best >= 1:
            break
    return best_items


def _terrain(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Ground height, metres: a slope of 4 to 8 m over the tile, with gentle waves."""
    turn, drop = rng.uniform(0, 2 * np.pi), rng.uniform(4, 8)
    x = np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None]
    y = np.linspace(-0.5, 0.5, shape[0], dtype=np.float32)[:, None]
    waves = cv2.resize(
        rng.normal(0, 0.6, (4, 4)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC
    )
    return (
        np.float32(rng.uniform(36, 44))
        + np.float32(drop) * (x * np.float32(np.cos(turn)) + y * np.float32(np.sin(turn)))
        + waves
    )


def _noise(shape: tuple[int, int], period: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of unit deviation whose bumps are about period pixels apart."""
    step = max(1.0, period / 4)
    size = (math.ceil(shape[0] / step) + 4, math.ceil(shape[1] / step) + 4)
    coarse = cv2.GaussianBlur(rng.standard_normal(size, np.float32), (0, 0), period / step / 4)
    coarse /= max(float(coarse.std()), 1e-6)
    wide = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    return wide[: shape[0], : shape[1]]


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
        self.lumps = _noise(shape, 1.1 / gsd, rng)
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


def cast_shadows(
    heights: np.ndarray, gsd: float, azimuth: float, elevation: float, soft: float = 0.3
) -> np.ndarray:
    """How much of the sun reaches each pixel.

    The shadow over a pixel is as high as the highest of all heights towards the sun, each lowered
    by the sun's fall over its distance. Reaches of 1, 2, 4, ... pixels are joined, so that a reach
    of n pixels takes log2(n) passes.

    Args:
        heights: (H, W) surface heights, metres.
        gsd: Metres per pixel.
        azimuth: Direction of the sun, degrees clockwise from north, which is up.
        elevation: Height of the sun over the horizon, degrees.
        soft: A pixel this far under the shadow's surface, metres, is wholly dark.

    Returns:
        (H, W) float32, 1 in the sun and 0 in the shadow.
    """
    fall = math.tan(math.radians(elevation)) * gsd
    towards = -math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
    shadow = heights.astype(np.float32)
    reach = (float(shadow.max()) - float(shadow.min())) / fall
    step = 1
    while step <= max(reach, 1) and step < max(shadow.shape):
        rows, cols = round(step * towards[0]), round(step * towards[1])
        here, there = _shifted(shadow.shape, rows, cols)
        raised = shadow[there] - np.float32(fall * math.hypot(rows, cols))
        np.maximum(shadow[here], raised, out=shadow[here])
        step *= 2
    depth = (shadow - heights) * np.float32(1 / soft)
    return 1 - np.clip(depth, 0, 1)


def _shifted(
    shape: tuple[int, int], rows: int, cols: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the pixels that have a neighbour (rows, cols) away, and of those neighbours."""
    spans = [
        (max(0, -move), size - max(0, move), move)
        for size, move in zip(shape, (rows, cols), strict=True)
    ]
    here = tuple(slice(low, max(low, high)) for low, high, _ in spans)
    there = tuple(slice(low + move, max(low, high) + move) for low, high, move in spans)
    return here, there


def _photograph(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 4) uint8 image of the canvas as an aerial camera sees it."""
    shape, gsd = canvas.labels.shape, canvas.gsd
    wide, middle, fine = (_noise(shape, size / gsd, rng) for size in (6.0, 1.6, 0.4))
    relief = np.abs(canvas.lumps) + 0.8 * np.abs(fine)
    relief *= TEXTURES[:, 0][canvas.surfaces]
    sun = cast_shadows(canvas.heights, gsd, SUN_AZIMUTH, SUN_ELEVATION)
    sun = cv2.GaussianBlur(sun, (0, 0), max(0.5, 0.06 / gsd))
    sun *= _facing(canvas.heights + relief, gsd)
    sky = _openness(canvas.heights, gsd)
    mood = _noise(shape, max(shape) / 3, rng)
    image = np.empty((*shape, 4), np.uint8)
    for low in range(0, shape[0], STRIP):
        rows = slice(low, min(low + STRIP, shape[0]))
        textures = TEXTURES[canvas.surfaces[rows]]
        grain = rng.standard_normal(sun[rows].shape, np.float32)
        bumps = [wide[rows], middle[rows], fine[rows], grain]
        texture = 1 + sum(textures[..., i + 1] * bump for i, bump in enumerate(bumps))
        hue = textures[..., 5] * (wide[rows] + middle[rows])
        relit = canvas.colours[rows].astype(np.float32) * texture[..., None]
        relit[..., 0] *= 1 + hue
        relit[..., 2] *= 1 - 0.5 * hue
        bands = np.dstack([relit, relit[..., 1] * textures[..., 6]])
        light = sky[rows, :, None] * np.array([0.38, 0.41, 0.47, 0.32], np.float32)
        light = light + sun[rows, :, None] * np.array([0.74, 0.72, 0.66, 0.76], np.float32)
        bands *= light * (1 + np.float32(0.04) * mood[rows, :, None])
        bands = cv2.GaussianBlur(bands + 5, (0, 0), 0.6)
        bands += 2.2 * rng.standard_normal(bands.shape, np.float32)
        image[rows] = np.clip(bands, 0, 255)
    return image


def _facing(heights: np.ndarray, gsd: float) -> np.ndarray:
    """Sunlight on each slope, 1 on flat ground."""
    azimuth, elevation = math.radians(SUN_AZIMUTH), math.radians(SUN_ELEVATION)
    east = cv2.Sobel(heights, cv2.CV_32F, 1, 0, ksize=3, scale=1 / (8 * gsd))
    south = cv2.Sobel(heights, cv2.CV_32F, 0, 1, ksize=3, scale=1 / (8 * gsd))
    across = -east * math.sin(azimuth) + south * math.cos(azimuth)
    length = np.sqrt(1 + east * east + south * south)
    cosine = (math.sin(elevation) + across * math.cos(elevation)) / length
    return np.clip(cosine / math.sin(elevation), 0.15, 1.3)


def _openness(heights: np.ndarray, gsd: float) -> np.ndarray:
    """Skylight on each pixel: less beside what stands higher within about 2 m."""
    coarse = max(1, round(0.4 / gsd))
    size = (math.ceil(heights.shape[1] / coarse), math.ceil(heights.shape[0] / coarse))
    small = cv2.resize(heights, size, interpolation=cv2.INTER_AREA)
    around = cv2.GaussianBlur(small, (0, 0), 1.6 / (coarse * gsd))
    above = cv2.resize(around, heights.shape[::-1], interpolation=cv2.INTER_LINEAR) - heights
    return 1 - np.clip(above * 0.09, 0, 0.45)


def _measured_heights(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """The DSM as image matching gives it: smeared edges, waves and noise."""
    dsm = cv2.GaussianBlur(canvas.heights, (0, 0), max(0.4, 0.12 / canvas.gsd))
    dsm += 0.05 * _noise(dsm.shape, 2.0 / canvas.gsd, rng)
    dsm += 0.03 * rng.standard_normal(dsm.shape, np.float32)
    return dsm


def write_archive(
    out: str | Path,
    names: Sequence[str],
    *,
    size: int = 6000,
    seed: int = 0,
    gsd: float = 0.05,
    bands: Sequence[str] = ('rgb',),
    compress: str = 'none',
) -> None:
    """Write tiles in the folders and under the file names of the ISPRS Potsdam archive.

    Like some of the archive's, one DSM is a column short: that of the second name.

    Args:
        out: Folder to write into; made where it is missing, files of the same names are replaced.
        names: Tile names as ``row_col``; rows count southwards, columns eastwards, and tiles that
            are neighbours by their numbers touch on the map.
        size: Rows and columns of a tile, pixels.
        seed: Non-negative number of the city.
        gsd: Ground sampling distance, metres per pixel.
        bands: Orthophotos to write, of ``rgb``, ``irrg`` and ``rgbir``.
        compress: GDAL's name of a GeoTIFF compression, or ``none`` as in the archive.

    Raises:
        ValueError: If no name is given, or a name or an orthophoto is unknown in kind.
    """
    if not names:
        raise ValueError('No tile is named: give at least one, for example 2_10.')
    unknown = sorted(set(bands) - set(BANDS))
    if unknown or not bands:
        raise ValueError(f'Orthophotos {unknown} are unknown: choose from {sorted(BANDS)}.')
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    _replace(out / 'README.txt', lambda path: path.write_text(_readme(names, size, seed, gsd)))
    for index, name in enumerate(track(names, description='Writing tiles')):
        tile = make_tile(name, (size, size), seed, gsd)
        columns = size - 1 if index == 1 else size
        writer = _TileWriter(out, name, size, gsd, compress)
        for kind in bands:
            file = f'{FOLDERS[kind]}/top_potsdam_{name}_{kind.upper()}.tif'
            writer.write(file, tile.image[..., BANDS[kind]])
        row, col = _row_col(name)
        writer.write(f'1_DSM/dsm_potsdam_{row:02d}_{col:02d}.tif', tile.dsm[:, :columns, None])
        colours = PALETTE[tile.labels]
        writer.write(f'5_Labels_all/top_potsdam_{name}_label.tif', colours)
        colours[class_boundaries(tile.labels)] = 0
        file = f'5_Labels_all_noBoundary/top_potsdam_{name}_label_noBoundary.tif'
        writer.write(file, colours)


def class_boundaries(labels: np.ndarray, radius: int = 3) -> np.ndarray:
    """Mark the pixels that have another class within a radius.

    Args:
        labels: (H, W) uint8 class indices.
        radius: Pixels.

    Returns:
        (H, W) bool.
    """
    disc = (np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius).astype(
        np.uint8
    )
    return cv2.dilate(labels, disc) != cv2.erode(labels, disc)


class _TileWriter:
    """Writes the rasters of one tile where it lies on the map."""

    def __init__(self, out: Path, name: str, size: int, gsd: float, compress: str) -> None:
        row, col = _row_col(name)
        side = size * gsd
        # Potsdam lies about here in UTM zone 33 north.
        self._transform = from_origin(
            366000 + (col - 7) * side, 5808000 - (row - 2) * side, gsd, gsd
        )
        self._out = out
        self._compress = compress

    def write(self, file: str, pixels: np.ndarray) -> None:
        """Write (H, W, bands) pixels as a GeoTIFF in strips."""
        height, width, count = pixels.shape
        profile = {
            'driver': 'GTiff', 'height': height, 'width': width, 'count': count,
            'dtype': pixels.dtype, 'crs': 'EPSG:32633', 'transform': self._transform,
            'compress': None if self._compress == 'none' else self._compress,
        }  # fmt: skip
        if count >= 3:
            profile |= {'photometric': 'RGB', 'interleave': 'pixel'}
        if count == 4:
            profile |= {'alpha': 'unspecified'}  # infrared, not opacity

        def save(path: Path) -> None:
            with rasterio.open(path, 'w', **profile) as raster:
                raster.write(np.moveaxis(pixels, 2, 0))

        _replace(self._out / file, save)


def _replace(path: Path, save: Callable[[Path], object]) -> None:
    """Save beside a path, then rename, so that no file is ever half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.part')
    save(part)
    part.replace(path)


def _readme(names: Sequence[str], size: int, seed: int, gsd: float) -> str:
    short = f'the DSM of {names[1]}' if len(names) > 1 else 'none here, as there is one tile'
    return (
        'A SYNTHETIC city in the layout of the ISPRS Potsdam archive. No pixel of it was '
        'photographed or measured, and nothing of ISPRS is in it.\n\n'
        f'Tiles: {" ".join(names)}\n'
        f'Size: {size} x {size} pixels of {gsd} m, EPSG:32633\n'
        f'Seed: {seed}\n'
        f'A column short, as some DSMs of the archive are: {short}\n'
        'Made by tools/make_synthetic_isprs.py of mobanet_mmseg. A tile depends on seed, name, '
        'size and gsd alone; the short DSM on the order of the tiles.\n'
    )
