"""Hints that two images of one place do not lie on one another, from how well they fit elsewhere.

Pixels are no independent witnesses: what real scenes show is alike over 8 to 20 pixels, so that two
that have nothing in common correlate several times more than as many independent pixels would. How
much that is, each pair says itself: shifted against one another by far more than is looked for, and
turned, the two are as patchy as before, but do not belong together. A place is clear only where
they fit ``MIN_RATIO`` times better than in any of those.

Source of the shifts: the toroidal shift test of Lotwick and Silverman, Methods for Analysing
Spatial Processes of Several Types of Points, J. R. Stat. Soc. B 44 (1982) 406-413.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from scipy.fft import fftfreq, irfft2, rfft2, rfftfreq
from scipy.ndimage import distance_transform_edt

from mobanet_mmseg.tiling.symmetries import apply_symmetry

MAX_SHIFT = 8  # pixels, down and right and back
FAR = 2 * MAX_SHIFT  # pixels: what fits when shifted by more does so by chance
LEAST_SIDE = 6 * MAX_SHIFT  # pixels: a smaller image has no far shifts
LOCAL = 8.0  # pixels: light, relief and rough quarters, which are smoother, do not count
STRIP = 5  # pixels: half of the widest strip without labels that is taken for a boundary
MIN_RATIO = 1.5  # by how many times more than by chance two images have to fit
MIN_SCORE = 0.05  # below it nothing is said: the images have nothing in common
MIN_GAIN = 0.03  # by which another place has to fit better than the one they are in
MAX_COLOURS, MAX_CLASSES = 3, 8  # components that are compared: time goes with their product


@dataclass(frozen=True)
class Fit:
    """How well two images fit, as they are and at best.

    Args:
        score: Correlation as they are, up to 1.
        best_score: Greatest correlation of all places that were tried.
        chance: Greatest correlation where they cannot belong together.
        clear: Whether the best place is clearly better than chance and than the one they are in.
    """

    score: float
    best_score: float
    chance: float
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


class Pattern(NamedTuple):
    """What is compared of an image.

    Args:
        bands: (B, H, W) float32 without what is smoother than ``LOCAL``.
        signed: Whether it says the same as another pattern only where both are high; if not, the
            share of one is measured that any mixture of the other's bands explains.
    """

    bands: np.ndarray
    signed: bool


Pairs = Iterable[tuple[Pattern, Pattern]]

SYMMETRIES = (  # by the numbers of tiling.symmetries.apply_symmetry
    'none',
    'turned by 90 degrees counter-clockwise',
    'turned by 180 degrees',
    'turned by 90 degrees clockwise',
    'mirrored left-right',
    'transposed along the other diagonal',
    'mirrored top-bottom',
    'transposed',
)


def edge_pattern(edges: np.ndarray) -> Pattern:
    """Compare where edges are.

    Args:
        edges: (H, W), of ``gradient_magnitude`` or ``label_edges``.
    """
    return Pattern(_local(edges[None]), signed=True)


def colour_pattern(image: np.ndarray) -> Pattern:
    """Compare an image's colours with another one's classes: its first components, of one energy.

    Args:
        image: (H, W, C); NaN is the mean.
    """
    bands = np.moveaxis(image, -1, 0).astype(np.float32)
    valid = np.isfinite(bands)
    total = np.where(valid, bands, 0).sum(axis=(1, 2), keepdims=True, dtype=np.float64)
    mean = total / np.maximum(valid.sum(axis=(1, 2), keepdims=True), 1)
    bands = _local(np.where(valid, bands, mean))
    bands = _components(bands, MAX_COLOURS, least=0.01)
    energy = np.square(bands).sum()
    return Pattern(bands / np.sqrt(energy) if energy > 0 else bands, signed=False)


def class_pattern(labels: np.ndarray, num_classes: int) -> Pattern:
    """Compare where each class is, whatever it looks like.

    Args:
        labels: (H, W) class indices; any other index is of no class.
        num_classes: Number of classes.
    """
    present = [index for index in np.unique(labels) if index < num_classes]
    masks = np.stack([labels == index for index in present] or [np.zeros(labels.shape, bool)])
    return Pattern(_components(_local(masks), MAX_CLASSES, least=0.0), signed=False)


def gradient_magnitude(image: np.ndarray) -> np.ndarray:
    """Steepness of an image, its steepest 2 % alike so that single edges do not decide.

    Args:
        image: (H, W) or (H, W, C), at least 2 x 2; NaN has no edges.

    Returns:
        (H, W) float32.
    """
    bands = np.atleast_3d(image.astype(np.float32))
    steepness = np.sqrt(sum(np.square(slope) for slope in np.gradient(bands, axis=(0, 1))).sum(-1))
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


def fill_strips(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Give pixels without a label that of the nearest one, up to ``STRIP`` pixels away.

    Where labels leave out the boundaries of things, as ISPRS's do, these are in between.

    Args:
        labels: (H, W) class indices; any other index is no label.
        num_classes: Number of classes.
    """
    empty = labels >= num_classes
    if not empty.any() or empty.all():
        return labels
    distance, nearest = distance_transform_edt(empty, return_indices=True)
    return np.where(distance <= STRIP, labels[tuple(nearest)], labels)


def find_shift(ways: Iterable[Pairs]) -> Shift:
    """Find by how many whole pixels the second image of each pair lies off the first.

    A shift is clear if the images fit there, if it wins more than a shift by as many pixels wins
    anywhere else, and if one the other way does not win as much: things that are drawn too large
    fit on either side.

    Args:
        ways: Patterns of windows of two images, all of one size; the next way of comparing them is
            tried only where the ones before say nothing.
    """
    found = None
    for pairs in ways:
        shift, fits = _find_shift(pairs)
        if found is None or shift.fit.clear:
            found = shift
        if fits or shift.fit.clear:
            break
    return found


def find_symmetry(ways: Iterable[tuple[Pattern, Pattern]]) -> Symmetry:
    """Find by which symmetry, and perhaps a small shift, the second image fits the first best.

    Args:
        ways: Patterns of the image that is right and of the one that may be mirrored or turned,
            transposed only if H = W; the next way is tried where the ones before say nothing.
    """
    found = None
    for first, second in ways:
        symmetry, fits = _find_symmetry(first, second)
        if found is None or symmetry.fit.clear:
            found = symmetry
        if fits or symmetry.fit.clear:
            break
    return found


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's correlation of two images; 0 if one is constant.

    Args:
        first: Any shape.
        second: The same shape.
    """
    first, second = first - first.mean(), second - second.mean()
    energy = float((first**2).sum()) * float((second**2).sum())
    return float((first * second).sum()) / energy**0.5 if energy > 0 else 0.0


def _find_shift(pairs: Pairs) -> tuple[Shift, bool]:
    """The best place, and whether the images fit as they are."""
    scores = _scores(pairs)
    near, far = _near(scores), _is_far(scores.shape)
    row, col = (int(place) - MAX_SHIFT for place in np.unravel_index(near.argmax(), near.shape))
    gains = np.roll(scores, (-row, -col), (0, 1)) - scores
    gain = gains[0, 0] if gains[0, 0] > np.abs(gains[far]).max() else 0.0
    if scores[-row, -col] - scores[0, 0] > gain / 2:
        gain = 0.0
    fit = _fit(scores[0, 0], scores[row, col], scores[far].max(), gain)
    return Shift(row, col, fit), row == col == 0 and _fits(fit.score, fit.chance)


def _find_symmetry(first: Pattern, second: Pattern) -> tuple[Symmetry, bool]:
    """The best symmetry, and whether the images fit as they are, shifted at most."""
    best, chance, score = {}, 0.0, 0.0
    for k, name in enumerate(SYMMETRIES):
        bands = apply_symmetry(torch.from_numpy(second.bands), k).contiguous().numpy()
        if bands.shape[1:] != first.bands.shape[1:]:
            continue
        scores = _scores([(first, Pattern(bands, second.signed))])
        best[name] = float(_near(scores).max())
        chance = max(chance, float(scores[_is_far(scores.shape)].max()))
        if name == 'none':
            score = scores[0, 0]
            if _fits(best[name], chance):
                return Symmetry(name, _fit(score, best[name], chance, 0.0)), True
    name = max(best, key=best.get)
    chance = max(chance, best['none'])
    return Symmetry(name, _fit(score, best[name], chance, best[name] - best['none'])), False


def _fit(score: float, best: float, chance: float, gain: float) -> Fit:
    clear = _fits(best, chance) and bool(gain > MIN_GAIN)
    return Fit(float(score), float(best), float(chance), clear)


def _fits(score: float, chance: float) -> bool:
    return bool(score > max(MIN_SCORE, MIN_RATIO * chance))


def _local(bands: np.ndarray) -> np.ndarray:
    """Take what is smoother than ``LOCAL`` out of (B, H, W) bands, float32."""
    height, width = bands.shape[1:]
    frequency = np.hypot(fftfreq(height)[:, None], rfftfreq(width))
    kept = 1 - np.exp(-2 * np.square(np.pi * LOCAL * frequency))
    spectrum = rfft2(bands.astype(np.float32)) * kept.astype(np.float32)
    return irfft2(spectrum, s=(height, width))


def _components(bands: np.ndarray, most: int, least: float) -> np.ndarray:
    """The greatest principal components of (B, H, W) bands, each of energy 1.

    ``least`` is how much of the bands' mean energy is noise: it keeps faint components faint.
    """
    flat = bands.reshape(len(bands), -1)
    energy, directions = np.linalg.eigh(flat @ flat.T)
    kept = np.flatnonzero(energy > 1e-3 * energy.max())[-most:]
    if not kept.size:  # nothing varies
        return np.zeros_like(bands[:1])
    scale = 1 / np.sqrt(energy[kept] + least * energy.mean())
    return ((directions[:, kept] * scale).T @ flat).reshape(-1, *bands.shape[1:])


def _scores(pairs: Pairs) -> np.ndarray:
    """Scores (H, W) of all pairs together, the second image shifted back by so many pixels."""
    total, energy = 0.0, np.zeros(2)
    for first, second in pairs:
        shape, signed = first.bands.shape[1:], first.signed
        total = total + np.zeros(shape, np.float32)
        spectra = [np.conj(rfft2(band)) for band in first.bands]
        for band in second.bands:
            spectrum = rfft2(band)
            for other in spectra:
                product = irfft2(other * spectrum, s=shape)
                total += product if signed else np.square(product)
        energy += [np.square(pattern.bands).sum() for pattern in (first, second)]
    tiny = np.finfo(np.float32).tiny
    if signed:
        return total / max(np.sqrt(energy.prod()), tiny)
    return np.sqrt(total / max(energy[0], tiny))


def _near(scores: np.ndarray) -> np.ndarray:
    """Scores of the shifts by up to ``MAX_SHIFT``, (17, 17)."""
    places = np.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    return scores[np.ix_(places, places)]


def _is_far(shape: tuple[int, int]) -> np.ndarray:
    """Whether each cyclic shift is one beyond ``FAR``."""
    rows, cols = (np.minimum(np.arange(side), side - np.arange(side)) > FAR for side in shape)
    return rows[:, None] | cols
