"""Differences between the cells of a study, paired by seed and by tile, with their intervals."""

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from mobanet_mmseg.experiments.statistics import (
    Summary,
    draw_tiles,
    middle,
    over_seeds,
    scores_of_draws,
)
from mobanet_mmseg.experiments.study_runs import Part

Span = tuple[float, float]
SCORE = 'mIoU'  # of which differences are taken


class Term(NamedTuple):
    """What is added to, or taken from, the others.

    Args:
        sign: 1 or -1.
        part: A cell on a data set.
        modality: What it gets in the test.
    """

    sign: int
    part: Part
    modality: str


class Contrast(NamedTuple):
    """How far some runs lie above others, in points of mIoU, pair by pair.

    Args:
        points: Mean over the seeds that all terms have.
        seeds: Its 95 % interval by Student's t over seeds: what other trainings might have given on
            these tiles.
        tiles: Its 95 % interval by a bootstrap over tiles: what other tiles might have given these
            trainings.
        count: Seeds.
    """

    points: float
    seeds: Span
    tiles: Span
    count: int

    @property
    def text(self) -> tuple[str, str, str]:
        """The difference and both intervals, as cells of a table."""
        sign = f'{self.points:+.2f}' if math.isfinite(self.points) else '-'
        return sign, _span(self.seeds), _span(self.tiles)


class Contrasts:
    """Works contrasts out; the scores of drawn tiles are kept from one report to the next."""

    def __init__(self) -> None:
        self._drawn: dict[tuple[str, str, int, str], np.ndarray] = {}

    def of(self, terms: Sequence[Term]) -> Contrast:
        """Work one out.

        Args:
            terms: Of one data set.
        """
        seeds = sorted(set.intersection(*(set(part.results) for _, part, _ in terms)))
        values = [
            sum(sign * self._score(part.results[seed], kind) for sign, part, kind in terms)
            for seed in seeds
        ]
        if not values:
            return Contrast(math.nan, (math.nan, math.nan), (math.nan, math.nan), 0)
        tiles = math.nan, math.nan
        if self._same_tiles(
            part.results[seed]['tiles'][kind] for _, part, kind in terms for seed in seeds
        ):
            drawn = sum(
                sign * self._scores_of_draws(part, seed, kind) / len(seeds)
                for seed in seeds
                for sign, part, kind in terms
            )
            tiles = middle(drawn)
        return Contrast(Summary.of(values).mean, over_seeds(values), tiles, len(values))

    @staticmethod
    def _score(result: dict[str, Any], modality: str) -> float:
        value = result['metrics'][modality][SCORE]
        return math.nan if value is None else value

    @staticmethod
    def _same_tiles(tested: Iterable[dict[str, Any]]) -> bool:
        return len({tuple(sorted(tiles)) for tiles in tested}) == 1

    def _scores_of_draws(self, part: Part, seed: int, modality: str) -> np.ndarray:
        """Per cent, (B,), of draws that are the same ones for all runs."""
        key = part.data.key, part.cell.key, seed, modality
        if key not in self._drawn:
            result = part.results[seed]
            tiles = result['tiles'][modality]
            matrices = np.array([tiles[name] for name in sorted(tiles)])
            counted = np.array([n not in result['excluded_classes'] for n in result['classes']])
            scores = scores_of_draws(_times(len(matrices)), matrices, counted)
            self._drawn[key] = 100 * scores[SCORE]
        return self._drawn[key]


@cache
def _times(count: int) -> np.ndarray:
    return draw_tiles(count)


def _span(span: Span) -> str:
    if not all(map(math.isfinite, span)):
        return '-'
    return f'{span[0]:+.2f} to {span[1]:+.2f}'
