"""The report of a comparison: scores, their differences and intervals, confusion matrices."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.evaluation.segmentation_metric import percentages
from mobanet_mmseg.experiments.plots import draw_confusions
from mobanet_mmseg.experiments.statistics import (
    FEW_TILES,
    LEVEL,
    RESAMPLES,
    Interval,
    paired_bootstrap,
)
from mobanet_mmseg.experiments.tables import Table
from mobanet_mmseg.visualization.pictures import save_picture
from mobanet_mmseg.writing import to_csv, write_text

FILES = ('report.md', 'scores.csv', 'report.json', 'confusion.png')


@dataclass(frozen=True)
class Comparison:
    """What has been counted.

    Args:
        names: Of the sides; the others are compared with the first.
        classes: Names and colours.
        excluded: Classes that the means leave out.
        tiles: Names of the tiles.
        matrices: (sides, tiles, K, K) pixel counts, truth down, prediction across.
        left_out: Labelled pixels for which a side has no class; they count for none.
    """

    names: list[str]
    classes: Classes
    excluded: tuple[str, ...]
    tiles: list[str]
    matrices: np.ndarray
    left_out: int

    @property
    def counted(self) -> np.ndarray:
        """(K,) bool, the classes that ``mF1`` and ``mIoU`` average."""
        return np.array([name not in self.excluded for name in self.classes.names])

    def scores(self) -> dict[str, dict[str, float]]:
        """Scores of each side over all tiles, per cent."""
        return {
            name: percentages(matrix, self.classes.names, self.excluded)
            for name, matrix in zip(self.names, self.matrices.sum(axis=1), strict=True)
        }

    def intervals(self) -> dict[str, dict[str, Interval]]:
        """How far each side lies above the first one."""
        first, *others = self.matrices
        return {
            name: paired_bootstrap(other, first, self.counted)
            for name, other in zip(self.names[1:], others, strict=True)
        }

    def write(self, out: Path) -> list[Path]:
        """Write the report as Markdown, the scores as CSV, all numbers, and the matrices' picture.

        Args:
            out: Folder.

        Returns:
            The files.

        Raises:
            OSError: If one cannot be written.
        """
        report, scores, numbers, picture = paths = [out / name for name in FILES]
        table, intervals = self.scores(), self.intervals()
        write_text(report, self.markdown(table, intervals))
        rows = [
            {'score': key, **{name: each[key] for name, each in table.items()}}
            for key in table[self.names[0]]
        ]
        write_text(scores, to_csv(rows))
        content = {
            'scores': {name: _finite(each) for name, each in table.items()},
            'differences': {
                name: {key: _finite(value._asdict()) for key, value in each.items()}
                for name, each in intervals.items()
            },
            'left_out_pixels': self.left_out,
            'classes': list(self.classes.names),
            'excluded_classes': list(self.excluded),
            'tiles': {
                tile: {
                    name: self.matrices[side, index].tolist()
                    for side, name in enumerate(self.names)
                }
                for index, tile in enumerate(self.tiles)
            },
        }
        write_text(numbers, json.dumps(content) + '\n')
        matrices = dict(zip(self.names, self.matrices.sum(axis=1), strict=True))
        save_picture(picture, draw_confusions(matrices, self.classes.names))
        return paths

    def markdown(
        self, scores: dict[str, dict[str, float]], intervals: dict[str, dict[str, Interval]]
    ) -> str:
        """Lay the report out.

        Args:
            scores: What :meth:`scores` gives.
            intervals: What :meth:`intervals` gives.
        """
        first, *others = self.names
        header = ('Score', *self.names, *(f'{name} - {first}' for name in others))
        rows = []
        for key, value in scores[first].items():
            own = [scores[name][key] for name in others]
            cells = [_text(number) for number in (value, *own)]
            rows.append((key, *cells, *(_text(number - value, '+') for number in own)))
        table = Table('Scores, per cent, and differences, points', header, rows)
        rows = [
            (
                f'{name} - {first}',
                key,
                _text(found.difference, '+'),
                *(_text(limit, '+') for limit in found[1:]),
            )
            for name, each in intervals.items()
            for key, found in each.items()
        ]
        header = ('Difference', 'score', 'points', f'{LEVEL} % from', 'to')
        bootstrap = Table('Differences, by a paired bootstrap over tiles', header, rows)
        notes = ''.join(f'- {note}\n' for note in self._notes())
        title = f'# {", ".join(self.names)}; test tiles: {len(self.tiles)}\n'
        return '\n'.join([title, notes, table.markdown(), bootstrap.markdown()])

    def _notes(self) -> Iterator[str]:
        excluded = ', '.join(self.excluded)
        yield f'mF1 and mIoU leave out {excluded or "no class"}; OA and mIoU_all are of all.'
        yield (
            f'The interval holds {LEVEL} % of {RESAMPLES:,} draws of as many tiles, with '
            'replacement, the same ones for both runs. It knows neither other seeds of a training '
            'nor other places.'
        )
        if len(self.tiles) < FEW_TILES:
            yield f'Tiles: {len(self.tiles)}, which is few: the interval is of little worth.'
        if self.left_out:
            yield (
                f'{self.left_out} labelled pixels have no class in one of the runs, and count for '
                'none.'
            )


def _text(value: float, sign: str = '') -> str:
    """Write a number with two decimals; ``-`` where there is none."""
    return f'{value:{sign}.2f}' if math.isfinite(value) else '-'


def _finite(values: dict[str, float]) -> dict[str, float | None]:
    """Numbers as JSON takes them."""
    return {key: value if math.isfinite(value) else None for key, value in values.items()}
