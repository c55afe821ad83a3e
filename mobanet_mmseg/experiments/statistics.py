"""Means and spreads over seeds, and intervals of differences by a bootstrap over tiles."""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from mobanet_mmseg.evaluation.segmentation_metric import mean_scores

RESAMPLES = 10_000
LEVEL = 95  # per cent of the resamples that an interval holds
FEW_TILES = 10  # below it the interval says little: it knows no other tiles


class Summary(NamedTuple):
    """What several runs of one row have measured.

    Args:
        mean: Their mean; nan of none.
        spread: Their sample standard deviation; nan of fewer than two.
        count: How many there are.
    """

    mean: float
    spread: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float | None]) -> 'Summary':
        """Summarise numbers.

        Args:
            values: None, and what is not finite, was not measured.
        """
        known = [value for value in values if value is not None and math.isfinite(value)]
        mean = statistics.fmean(known) if known else math.nan
        spread = statistics.stdev(known) if len(known) > 1 else math.nan
        return cls(mean, spread, len(known))

    def scaled(self, factor: float) -> 'Summary':
        """Give it in another unit.

        Args:
            factor: What each number is multiplied with.
        """
        return Summary(self.mean * factor, self.spread * factor, self.count)

    def text(self, digits: int = 2) -> str:
        """Write it as ``mean ± spread``; without the latter of one run, ``-`` of none.

        Args:
            digits: Decimals.
        """
        if not self.count:
            return '-'
        spread = f' ± {self.spread:.{digits}f}' if self.count > 1 else ''
        return f'{self.mean:.{digits}f}{spread}'


class Interval(NamedTuple):
    """How far one run lies above another, in points.

    Args:
        difference: On all tiles.
        low: Below it lie 2.5 % of the resamples; nan with one tile.
        high: Above it lie 2.5 %; likewise.
    """

    difference: float
    low: float
    high: float


def paired_bootstrap(
    matrices: np.ndarray,
    others: np.ndarray,
    counted: np.ndarray,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Say how far one run lies above another, and how much of that the choice of tiles may be.

    Tiles are drawn with replacement, the same ones for both runs, as many as there are; the scores
    are those of all pixels of the drawn tiles together.

    Args:
        matrices: (T, K, K) pixel counts of each tile, truth down, prediction across.
        others: The same of the run that it is compared with, on the same tiles.
        counted: (K,) bool, the classes that ``mF1`` and ``mIoU`` average.
        seed: The same seed draws the same tiles.
        resamples: How often tiles are drawn.

    Returns:
        By ``OA``, ``mF1``, ``mIoU`` and ``mIoU_all``.
    """
    assert matrices.shape == others.shape
    times = draw_tiles(len(matrices), seed, resamples)
    whole = [mean_scores(each.sum(axis=0), counted) for each in (matrices, others)]
    drawn = [scores_of_draws(times, each, counted) for each in (matrices, others)]
    found = {}
    for name in whole[0]:
        difference = 100 * float(whole[0][name] - whole[1][name])
        found[name] = Interval(difference, *middle(100 * (drawn[0][name] - drawn[1][name])))
    return found


def draw_tiles(count: int, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """Draw as many tiles as there are, with replacement, again and again.

    Args:
        count: Tiles T.
        seed: The same seed draws the same tiles.
        resamples: Draws B.

    Returns:
        (B, T), how often each draw holds each tile; (0, 1) of a single one, which says nothing.
    """
    if count < 2:
        return np.zeros((0, count), np.int64)
    return np.random.default_rng(seed).multinomial(count, [1 / count] * count, resamples)


def scores_of_draws(
    times: np.ndarray, matrices: np.ndarray, counted: np.ndarray
) -> dict[str, np.ndarray]:
    """Score each draw of tiles as a whole.

    Args:
        times: (B, T), see :func:`draw_tiles`.
        matrices: (T, K, K) pixel counts of each tile, truth down, prediction across.
        counted: (K,) bool, the classes that ``mF1`` and ``mIoU`` average.

    Returns:
        (B,) each, as fractions.
    """
    drawn = np.tensordot(times.astype(np.float64), matrices.astype(np.float64), axes=1)  # exact
    return mean_scores(drawn, counted)


def middle(values: np.ndarray) -> tuple[float, float]:
    """Give the ends of the middle 95 % of values; nan of none.

    Args:
        values: (B,).
    """
    if not len(values):
        return math.nan, math.nan
    tail = (100 - LEVEL) / 2
    low, high = map(float, np.nanpercentile(values, (tail, 100 - tail)))
    return low, high


def over_seeds(values: Sequence[float]) -> tuple[float, float]:
    """Give the 95 % interval of a mean over seeds, by Student's t; nan of fewer than two.

    Args:
        values: One a seed, differences of runs that share the seed.
    """
    summary = Summary.of(values)
    if summary.count < 2:
        return math.nan, math.nan
    factor = float(student.ppf(0.5 + LEVEL / 200, summary.count - 1))
    half = factor * summary.spread / math.sqrt(summary.count)
    return summary.mean - half, summary.mean + half
