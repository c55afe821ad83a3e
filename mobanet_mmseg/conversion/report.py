"""What a conversion did, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table


@dataclass
class Report:
    """Counts of a conversion.

    Args:
        classes: Names of the classes.
        tiles: Per converted tile: ``mended`` (kinds of raster that were padded or cropped),
            ``pixels`` of each class, ``ignored`` and ``off_palette`` pixels.
        missing: Per tile that was not converted, the files that it lacks.
        warnings: What will not train as it is, a sentence each.
    """

    classes: Sequence[str]
    tiles: dict[str, dict[str, Any]]
    missing: dict[str, list[str]]
    warnings: list[str] = field(default_factory=list)

    def table(self) -> Table:
        """Draw the table: tiles found, missing and mended, and pixels."""
        tiles = self.tiles.values()
        mended = {name: tile['mended'] for name, tile in self.tiles.items() if tile['mended']}
        described = ', '.join(f'{name} ({" and ".join(of)})' for name, of in mended.items())
        pixels = [sum(counts) for counts in zip(*(t['pixels'] for t in tiles), strict=True)]
        ignored, off_palette = (sum(t[key] for t in tiles) for key in ('ignored', 'off_palette'))
        total = max(1, sum(pixels) + ignored + off_palette)
        noisy = [name for name, tile in self.tiles.items() if tile['off_palette']]
        table = Table('', 'count', 'share', 'which', title='Converted')
        table.add_row('tiles found', str(len(self.tiles)), '', '')
        table.add_row('tiles missing', str(len(self.missing)), '', ', '.join(self.missing))
        table.add_row('tiles mended', str(len(mended)), '', described, end_section=True)
        rows = [*zip(self.classes, pixels, strict=True), ('ignored (black)', ignored)]
        for name, count in rows:
            table.add_row(f'pixels {name}', str(count), f'{count / total:.2%}', '')
        share = f'{off_palette / total:.2%}'
        table.add_row('pixels off-palette', str(off_palette), share, ', '.join(noisy))
        return table

    def sentences(self) -> list[str]:
        """Say what is missing and what will not train, one line each."""
        missing = [
            f'tile {tile} is missing: {", ".join(names)} was not found; the splits leave it out.'
            for tile, names in self.missing.items()
        ]
        return missing + self.warnings
