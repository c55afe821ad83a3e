"""Tables of text and of numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mobanet_mmseg.experiments.statistics import Summary

NOT_MEASURED = 'not measured'


@dataclass(frozen=True)
class Table:
    """A table as people read it.

    Args:
        title: What it is of.
        header: Names of the columns; the first is that of the rows.
        rows: Cells, as many as there are columns.
    """

    title: str
    header: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        """Lay it out; all but the first column stand to the right."""
        lines = [self.header, ('---', *('---:' for _ in self.header[1:])), *self.rows]
        cells = (' | '.join(cell.replace('|', r'\|') for cell in line) for line in lines)
        return f'## {self.title}\n\n' + ''.join(f'| {line} |\n' for line in cells)


def gather(results: Iterable[dict[str, Any]], *path: str) -> Summary:
    """Summarise one number of several runs.

    Args:
        results: Of the runs of one row.
        *path: Keys that lead to the number, such as ``'metrics', 'both', 'mIoU'``.
    """
    values = []
    for found in results:
        value: Any = found
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        values.append(value)
    return Summary.of(values)
