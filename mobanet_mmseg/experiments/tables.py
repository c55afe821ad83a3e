"""Tables of text and of numbers, for Markdown and for CSV."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
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


def to_csv(records: Sequence[dict[str, Any]]) -> str:
    """Write records with one column a key, empty where there is no number.

    Args:
        records: Values by column; the columns are those of all records, in the order of the first
            one that has them.
    """
    columns = list(dict.fromkeys(key for record in records for key in record))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator='\n')
    writer.writeheader()
    for record in records:
        known = {key: value for key, value in record.items() if not _is_nan(value)}
        writer.writerow({key: known.get(key, '') for key in columns})
    return text.getvalue()


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


def _is_nan(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
