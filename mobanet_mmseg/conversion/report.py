"""What a conversion did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Report:
    """What a conversion did, in lines for a terminal.

    Args:
        out: Folder of the tiles.
        classes: Name of each class; none where the tiles have no labels.
        splits: Names of the tiles of each split.
        pixels: Pixels of each class, then those without a label, per split.
        dropped: Number of tiles left out, by reason.
        notes: What else there is to know, a line each.
        warnings: What may not train as it is, a line each.
        advice: What to do where a split lacks a class.
    """

    out: Path
    classes: Sequence[str]
    splits: dict[str, list[str]]
    pixels: dict[str, np.ndarray]
    dropped: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    advice: str = 'try another --seed, or a smaller --block'

    def __str__(self) -> str:
        """Say it in lines."""
        counts = ', '.join(f'{len(names)} {split}' for split, names in self.splits.items())
        lines = [f'left out, {reason}: {count} tiles' for reason, count in self.dropped.items()]
        lines += self.notes
        warnings = list(self.warnings)
        if self.classes:
            lines += self._table()
            for split, pixels in self.pixels.items():
                absent = [self.classes[i] for i in np.flatnonzero(pixels[:-1] == 0)]
                if absent:
                    warnings.append(f'{split} has no pixel of {", ".join(absent)}: {self.advice}')
        lines += [f'WARNING: {warning}' for warning in warnings]
        return '\n  '.join([f'{self.out}: tiles: {counts}', *lines])

    def _table(self) -> list[str]:
        """Pixels of each class in each split, and their shares."""
        lines = [f'{"pixels":<24}' + ''.join(f'{split:>22}' for split in self.pixels)]
        totals = [max(1, pixels.sum()) for pixels in self.pixels.values()]
        for name, *row in zip([*self.classes, 'no label'], *self.pixels.values(), strict=True):
            cells = zip(row, totals, strict=True)
            counts = ''.join(f'{count:>14} {count / total:>7.2%}' for count, total in cells)
            lines.append(f'{name:<24}{counts}')
        return lines
