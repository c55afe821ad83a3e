"""Random fields over a tile: noise and the lie of the land."""

import math

import cv2
import numpy as np


def noise(shape: tuple[int, int], period: float, rng: np.random.Generator) -> np.ndarray:
    """Make smooth noise of unit deviation whose bumps are about period pixels apart."""
    step = max(1.0, period / 4)
    size = (math.ceil(shape[0] / step) + 4, math.ceil(shape[1] / step) + 4)
    coarse = cv2.GaussianBlur(rng.standard_normal(size, np.float32), (0, 0), period / step / 4)
    coarse /= max(float(coarse.std()), 1e-6)
    wide = cv2.resize(coarse, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    return wide[: shape[0], : shape[1]]


def terrain(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Make the (H, W) height of the ground, metres: a slope of 4 to 8 m with gentle waves."""
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
