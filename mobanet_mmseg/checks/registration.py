"""Hints that two images of one place do not lie on one another, from where their edges are."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

MAX_SHIFT = 8  # pixels, down and right and back
MIN_SCORE = 0.05  # below it nothing is said: edges have nothing in common
MIN_GAIN = 0.03  # by which another place has to fit better,
MIN_RATIO = 1.25  # and how many times better
NOISE = 5  # standard deviations of a correlation by chance that a gain has to exceed


@dataclass(frozen=True)
class Fit:
    """How well edges fit, as they are and at best.

    Args:
        score: Correlation as they are, -1 to 1.
        best_score: Greatest correlation of all places that were tried.
        clear: Whether the best place fits clearly better than the one they are in.
    """

    score: float
    best_score: float
    clear: bool


@dataclass(frozen=True)
class Shift:
    """How an image is shifted against another one.

    Args:
        row: Pixels by which its content lies too far down.
        col: Pixels by which it lies too far right.
        fit: How clear that is.
    """

    row: int
    col: int
    fit: Fit


@dataclass(frozen=True)
class Symmetry:
    """By which of the square's symmetries an image would fit another one.

    Args:
        name: What was done to it; ``'none'`` if it fits best as it is.
        fit: How clear that is.
    """

    name: str
    fit: Fit


SYMMETRIES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'none': lambda image: image,
    'mirrored left-right': np.fliplr,
    'mirrored top-bottom': np.flipud,
    'turned by 180 degrees': lambda image: np.rot90(image, 2),
    'transposed': np.transpose,
    'turned by 90 degrees counter-clockwise': np.rot90,
    'turned by 90 degrees clockwise': lambda image: np.rot90(image, -1),
    'transposed along the other diagonal': lambda image: np.rot90(image, 2).T,
}


def gradient_magnitude(image: np.ndarray) -> np.ndarray:
    """Steepness of an image, its steepest 2 % alike so that single edges do not decide.

    Args:
        image: (H, W), at least 2 x 2; NaN has no edges.

    Returns:
        (H, W) float32.
    """
    steepness = np.hypot(*np.gradient(image.astype(np.float32)))
    steepness = np.nan_to_num(steepness, nan=0.0, posinf=0.0)
    cap = np.percentile(steepness, 98)
    return np.minimum(steepness, cap) if cap > 0 else steepness


def label_edges(labels: np.ndarray) -> np.ndarray:
    """Mark where the class changes.

    Args:
        labels: (H, W) class indices.

    Returns:
        (H, W) float32, 0 or 1: the pixels on both sides of a boundary.
    """
    edges = np.zeros(labels.shape, np.float32)
    for axis in (0, 1):
        ahead, behind = [slice(None)] * 2, [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        change = labels[tuple(ahead)] != labels[tuple(behind)]
        edges[tuple(ahead)][change] = edges[tuple(behind)][change] = 1
    return edges


def find_shift(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Shift:
    """Find by how many whole pixels the second image of each pair lies off the first.

    Args:
        pairs: Edges (H, W) of windows of two images, for example optical and height.
    """
    places = np.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    products, energy, pixels = np.zeros((places.size, places.size)), np.zeros(2), 0
    for first, second in pairs:
        first, second = first - first.mean(), second - second.mean()
        spectrum = np.conj(np.fft.rfft2(first)) * np.fft.rfft2(second)
        products += np.fft.irfft2(spectrum, s=first.shape)[np.ix_(places, places)]
        energy += (first**2).sum(), (second**2).sum()
        pixels += first.size
    scores = products / max(np.sqrt(energy.prod()), np.finfo(np.float64).tiny)
    row, col = np.unravel_index(scores.argmax(), scores.shape)
    fit = _fit(scores[MAX_SHIFT, MAX_SHIFT], scores[row, col], pixels)
    return Shift(int(places[row]), int(places[col]), fit)


def find_symmetry(edges: np.ndarray, others: np.ndarray) -> Symmetry:
    """Find by which symmetry the second image fits the first best.

    Args:
        edges: Edges (H, W) of the image that is right.
        others: Edges of the one that may be mirrored or turned; transposed only if H = W.
    """
    scores = {
        name: correlation(edges, turned)
        for name, turn in SYMMETRIES.items()
        if (turned := turn(others)).shape == edges.shape
    }
    best = max(scores, key=scores.get)
    return Symmetry(best, _fit(scores['none'], scores[best], edges.size))


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of two images; 0 if one is constant.

    Args:
        first: Any shape.
        second: The same shape.
    """
    first, second = first - first.mean(), second - second.mean()
    energy = float((first**2).sum()) * float((second**2).sum())
    return float((first * second).sum()) / energy**0.5 if energy > 0 else 0.0


def _fit(score: float, best: float, pixels: int) -> Fit:
    gain = best - score
    chance = NOISE / max(pixels, 1) ** 0.5
    clear = best > MIN_SCORE and gain > max(MIN_GAIN, chance) and best > MIN_RATIO * score
    return Fit(float(score), float(best), bool(clear))
