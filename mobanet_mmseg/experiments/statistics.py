"""Means and spreads over seeds, and intervals of differences by a bootstrap over tiles."""

import math
import statistics
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

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
    count = len(matrices)
    times = np.random.default_rng(seed).multinomial(count, [1 / count] * count, resamples)
    whole = [mean_scores(each.sum(axis=0), counted) for each in (matrices, others)]
    drawn = [_scores_of_draws(times, each, counted) for each in (matrices, others)]
    found = {}
    for name in whole[0]:
        difference = 100 * float(whole[0][name] - whole[1][name])
        low = high = math.nan
        if count > 1:
            tail = (100 - LEVEL) / 2
            gaps = 100 * (drawn[0][name] - drawn[1][name])
            low, high = map(float, np.nanpercentile(gaps, (tail, 100 - tail)))
        found[name] = Interval(difference, low, high)
    return found


def _scores_of_draws(
    times: np.ndarray, matrices: np.ndarray, counted: np.ndarray
) -> dict[str, np.ndarray]:
    """Scores of each draw, (B,): tiles (T, K, K) added up as often as they were drawn, (B, T)."""
    drawn = np.tensordot(times.astype(np.float64), matrices.astype(np.float64), axes=1)  # exact
    return mean_scores(drawn, counted)
