"""Shows what a walk through datasets found: as tables, and as JSON."""

import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mobanet_mmseg.checks.checks import CheckedTile, Checks
from mobanet_mmseg.checks.judge import HURTS, LOOK
from mobanet_mmseg.checks.registration import Shift, Symmetry
from mobanet_mmseg.writing import write_text

LEAST_WIDTH = 150  # characters where the output is no terminal
COLOURS = {HURTS: 'bold red', LOOK: 'yellow'}


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
        paired = [tile for tile in checks.tiles if tile.report.aux is not None]
        if paired:
            console.print(_aux_table(paired))
        for table in _class_tables(checks.tiles):
            console.print(table)
    for finding in checks.findings:
        where = f'{finding.split}: {finding.tile}' if finding.tile else finding.split
        said = f'{escape(where)}: {escape(finding.text)}.'
        console.print(f'[{COLOURS[finding.level]}]{finding.level}[/]  {said}', soft_wrap=True)
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
    tiles = [
        {'split': tile.split, 'classes': tile.classes, **asdict(tile.report)}
        for tile in checks.tiles
    ]
    findings = [asdict(finding) for finding in checks.findings]
    write_text(path, json.dumps({'tiles': tiles, 'findings': findings}, indent=1))


def _tile_table(tiles: list[CheckedTile]) -> Table:
    table = Table(title='Tiles', box=SIMPLE)
    rows = [_tile_row(tile) for tile in tiles]
    if all(tile.report.aux is None for tile in tiles):
        for row in rows:
            del row['aux shift']
    for name in rows[0]:
        left = name in ('split', 'tile', 'pixels', 'optical', 'CRS')
        table.add_column(name, justify='left' if left else 'right', no_wrap=name == 'tile')
    for row in rows:
        table.add_row(*row.values())
    return table


def _tile_row(tile: CheckedTile) -> dict[str, str]:
    report = tile.report
    optical, label = report.optical, report.label
    rasters = [raster for raster in (optical, report.aux, label) if raster is not None]
    return {
        'split': tile.split,
        'tile': Path(optical.path).stem,
        'pixels': f'{optical.height} x {optical.width}',
        'optical': f'{optical.bands} {optical.dtype}',
        'CRS': ', '.join(sorted({raster.crs for raster in rasters})),
        'no data': ', '.join(f'{r.nodata:.0%}' for r in (optical, report.aux) if r is not None),
        'unlabelled': f'{report.ignored:.1%}' if label else '-',
        'of no class': f'{report.unknown:.2%}' if label else '-',
        'aux shift': _shift(report.shift) if report.aux else '-',
        'label shift': _shift(report.label_shift) if label else '-',
        'turned': _turned(report.aux_symmetry, report.label_symmetry),
    }


def _aux_table(tiles: list[CheckedTile]) -> Table:
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
            *('-' if value is None else f'{value:.6g}' for value in (low, p1, median, p99, high)),
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
