"""A photograph of a painted tile: texture, sun, skylight and the camera's noise."""

import math

import cv2
import numpy as np

from mobanet_mmseg.synthetic.canvas import Canvas
from mobanet_mmseg.synthetic.fields import noise
from mobanet_mmseg.synthetic.shadows import cast_shadows

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


def photograph(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """Take the (H, W, 4) uint8 image of a canvas that an aerial camera sees."""
    shape, gsd = canvas.labels.shape, canvas.gsd
    wide, middle, fine = (noise(shape, size / gsd, rng) for size in (6.0, 1.6, 0.4))
    relief = np.abs(canvas.lumps) + 0.8 * np.abs(fine)
    relief *= TEXTURES[:, 0][canvas.surfaces]
    sun = cast_shadows(canvas.heights, gsd, SUN_AZIMUTH, SUN_ELEVATION)
    sun = cv2.GaussianBlur(sun, (0, 0), max(0.5, 0.06 / gsd))
    sun *= _facing(canvas.heights + relief, gsd)
    sky = _openness(canvas.heights, gsd)
    mood = noise(shape, max(shape) / 3, rng)
    image = np.empty((*shape, 4), np.uint8)
    for low in range(0, shape[0], STRIP):
        rows = slice(low, low + STRIP)
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
