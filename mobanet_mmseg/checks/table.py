"""Shows what a walk through datasets found: as tables, and as JSON."""

import json
import math
import os
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mobanet_mmseg.checks.checks import CheckedTile, Checks
from mobanet_mmseg.checks.judge import HURTS
from mobanet_mmseg.checks.registration import Fit, Shift, Symmetry

LEAST_WIDTH = 150  # characters where the output is no terminal
COLOURS = {HURTS: 'bold red'}


def print_checks(checks: Checks, console: Console | None = None) -> None:
    """Print the measured tiles, the classes of each split, and the findings.

    Args:
        checks: What was found.
        console: Where to print; None is the terminal.
    """
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=LEAST_WIDTH)
    if checks.tiles:
        console.print(_tile_table(checks.tiles))
        console.print(_height_table(checks.tiles))
        for table in _class_tables(checks.tiles):
            console.print(table)
    for level, split, tile, text in checks.findings:
        where = f'{split}: {tile}' if tile else split
        colour = COLOURS.get(level, 'yellow')
        console.print(f'[{colour}]{level}[/]  {escape(where)}: {escape(text)}.', soft_wrap=True)
    hurting = sum(finding.level == HURTS for finding in checks.findings)
    console.print(
        f'{len(checks.tiles)} tiles measured: {hurting} findings will hurt, '
        f'{len(checks.findings) - hurting} to look at.'
    )


def write_json(path: str | Path, checks: Checks) -> None:
    """Write everything that was measured and found.

    Args:
        path: File to write; missing folders are made.
        checks: What was found.

    Raises:
        OSError: If it cannot be written.
    """
    path = Path(path)
    content = {
        'tiles': [
            {'split': tile.split, 'classes': list(tile.classes), **_plain(asdict(tile.report))}
            for tile in checks.tiles
        ],
        'findings': [finding._asdict() for finding in checks.findings],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    try:
        part.write_text(json.dumps(content, indent=1), encoding='utf-8')
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """What JSON can hold: named tuples as objects, NaN as null."""
    if isinstance(value, Shift | Symmetry | Fit):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _tile_table(tiles: list[CheckedTile]) -> Table:
    table = Table(title='Tiles', box=SIMPLE)
    for name in ('split', 'tile', 'pixels', 'optical', 'CRS'):
        table.add_column(name, no_wrap=name == 'tile')
    for name in ('no data', 'unlabelled', 'of no class', 'shift', 'turned'):
        table.add_column(name, justify='right')
    for tile in tiles:
        report = tile.report
        crs = {report.optical.crs, report.aux.crs, report.label.crs if report.label else ''} - {''}
        table.add_row(
            tile.split,
            Path(report.optical.path).stem,
            f'{report.optical.height} x {report.optical.width}',
            f'{report.optical.bands} {report.optical.dtype}',
            ', '.join(sorted(crs)),
            f'{report.optical.nodata:.0%}, {report.aux.nodata:.0%}',
            f'{report.ignored:.1%}' if report.label else '-',
            f'{report.unknown:.2%}' if report.label else '-',
            _shift(report.shift),
            _turned(report.aux_symmetry, report.label_symmetry),
        )
    return table


def _height_table(tiles: list[CheckedTile]) -> Table:
    table = Table(
        title='Auxiliary channel 1, in its own unit',
        caption="98 % fill: what the values from 1 % to 99 % take of 0..1 in the network's input",
        box=SIMPLE,
    )
    for name in ('split', 'tile', 'type'):
        table.add_column(name, no_wrap=name == 'tile')
    for name in ('least', '1 %', 'median', '99 %', 'greatest', '98 % fill'):
        table.add_column(name, justify='right')
    for tile in tiles:
        report = tile.report
        low, p1, _, median, _, p99, high = report.percentiles[0]
        table.add_row(
            tile.split,
            Path(report.aux.path).stem,
            report.aux.dtype,
            *(f'{value:.6g}' for value in (low, p1, median, p99, high)),
            f'{report.filled[0]:.1%}' if report.filled else '-',
        )
    return table


def _shift(shift: Shift | None) -> str:
    if shift is None:
        return '?'
    return f'{shift.row:+d}, {shift.col:+d}' if shift.fit.clear else 'none'


def _turned(aux: Symmetry | None, label: Symmetry | None) -> str:
    named = {'aux': aux, 'label': label}
    turned = [name for name, symmetry in named.items() if symmetry and symmetry.fit.clear]
    return ', '.join(turned) or 'none'


def _class_tables(tiles: list[CheckedTile]) -> list[Table]:
    """Share of each class among the labelled pixels of each split that has the same classes."""
    grouped: dict[tuple[str, ...], dict[str, np.ndarray]] = defaultdict(dict)
    for tile in tiles:
        if tile.report.label is not None:
            counts = np.array(tile.report.counts)
            splits = grouped[tuple(tile.classes)]
            splits[tile.split] = splits.get(tile.split, 0) + counts
    tables = []
    for classes, splits in grouped.items():
        table = Table(title='Classes, of the labelled pixels', box=SIMPLE)
        table.add_column('class')
        for split in splits:
            table.add_column(split, justify='right')
        for index, name in enumerate(classes):
            shares = [counts[index] / max(1, counts.sum()) for counts in splits.values()]
            table.add_row(name, *(f'{share:.2%}' for share in shares))
        tables.append(table)
    return tables
