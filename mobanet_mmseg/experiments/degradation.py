"""Which degradations are measured, and what is told of them: tables and curves."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mobanet_mmseg.engine.degradation import Metrics
from mobanet_mmseg.experiments.tables import Table
from mobanet_mmseg.models.degradation import MODALITIES, UNDEGRADED, UNITS, Degradation
from mobanet_mmseg.visualization.pictures import save_picture
from mobanet_mmseg.writing import read_text, to_csv, write_text

LEVELS = {
    'mask': (0.25, 0.5, 0.75, 1.0),
    'noise': (0.25, 0.5, 1.0, 2.0),
    'blur': (1.0, 2.0, 4.0, 8.0),
    'shift': (2.0, 4.0, 8.0, 16.0),
    'resolution': (2.0, 4.0, 8.0, 16.0),
}
FILES = ('degradation.md', 'degradation.csv', 'degradation.json', 'degradation.png')
COLOURS = {'rgb': ('o', '#b35900'), 'aux': ('s', '#00558b')}
DOUBLING = ('blur', 'shift', 'resolution')  # kinds whose levels are drawn on a logarithmic axis
DPI = 110
FONT = 8  # points
LEAST_SPAN = 4  # points of a metric that an axis shows


def plan(
    modalities: Sequence[str], kinds: Sequence[str], levels: Sequence[str] = ()
) -> list[Degradation]:
    """List the degradations of a command: the levels of each kind of each modality.

    Args:
        modalities: ``'rgb'``, ``'aux'`` or both.
        kinds: Of :data:`UNITS`.
        levels: In the place of those of :data:`LEVELS`, as ``'blur=1,2,4'``.

    Raises:
        ValueError: If levels are not to be understood, or are of a kind that is not measured.
    """
    chosen = dict(LEVELS)
    for text in levels:
        kind, _, numbers = text.partition('=')
        try:
            chosen[kind] = tuple(sorted({float(number) for number in numbers.split(',')}))
        except ValueError:
            raise ValueError(
                f'--levels got {text}: give a kind and its levels, as in blur=1,2,4.'
            ) from None
        if kind not in kinds:
            raise ValueError(f'--levels got {text}, but the kinds are {", ".join(kinds)}.')
    planned = [
        Degradation(kind, modality, level)
        for modality in modalities
        for kind in kinds
        for level in chosen[kind]
    ]
    return [each for each in planned if each.level != UNDEGRADED[each.kind]]


@dataclass
class DegradationReport:
    """What has been measured, as files.

    Args:
        facts: What it was measured with, by name.
        planned: All degradations that are to be measured.
        clean: Metrics of the images as they are.
        measured: Metrics by degradation.
    """

    facts: dict[str, Any]
    planned: Sequence[Degradation]
    clean: Metrics = field(default_factory=dict)
    measured: dict[Degradation, Metrics] = field(default_factory=dict)

    def add(self, degradation: Degradation | None, metrics: Metrics) -> None:
        """Take what was measured.

        Args:
            degradation: None is the images as they are.
            metrics: Of it.
        """
        if degradation is None:
            self.clean = metrics
        else:
            self.measured[degradation] = metrics

    def resume(self, folder: Path) -> None:
        """Take what an earlier command has measured in the same way.

        Args:
            folder: Where that wrote.

        Raises:
            ValueError: If it was measured with something else.
        """
        path = folder / FILES[2]
        if not path.is_file():
            return
        told = json.loads(read_text(path))
        if told['facts'] != self.facts:
            changed = [name for name in self.facts if told['facts'].get(name) != self.facts[name]]
            raise ValueError(
                f'{path} was measured with another {changed[0]}: give another folder, or leave '
                '--resume out to replace it.'
            )
        for record in told['measured']:
            modality, kind, level = (record.pop(key) for key in ('modality', 'kind', 'level'))
            degradation = None if kind == 'none' else Degradation(kind, modality, level)
            values = {name: math.nan if x is None else x for name, x in record.items()}
            if degradation is None or degradation in self.planned:
                self.add(degradation, values)

    @property
    def missing(self) -> list[Degradation | None]:
        """What is not measured yet; None is the images as they are."""
        first = [] if self.clean else [None]
        return [*first, *(each for each in self.planned if each not in self.measured)]

    @property
    def shown(self) -> list[str]:
        """Metrics that are in the tables and plots: the mean IoU and that of each class."""
        names = list(self.clean)
        ious = [name for name in names if name.rpartition('/')[2] == 'mIoU']
        ious += [name for name in names if name.rpartition('/')[2].startswith('IoU.')]
        return ious or names

    def drop(self, degradation: Degradation) -> float:
        """Say by how many points a degradation lowers the first metric.

        Args:
            degradation: One that has been measured.
        """
        name = self.shown[0]
        return self.clean[name] - self.measured[degradation][name]

    def write(self, folder: Path, pictures: bool = True) -> list[Path]:
        """Write tables, numbers and curves.

        Args:
            folder: Where to; older ones are replaced.
            pictures: Whether to draw the curves, which takes seconds.

        Returns:
            The files.

        Raises:
            OSError: If one cannot be written.
        """
        text, records, numbers, picture = paths = [folder / name for name in FILES]
        write_text(text, self.markdown())
        write_text(records, to_csv(self._records()))
        write_text(numbers, json.dumps(self._numbers(), indent=1) + '\n')
        if pictures:
            save_picture(picture, self.plot())
        return paths

    def markdown(self) -> str:
        """Lay out the facts, and a table for each modality."""
        notes = [f'- {name}: {value}' for name, value in self.facts.items()]
        missing = len(self.planned) - len(self.measured)
        if missing:
            notes.append(f'- not finished: {missing} of {len(self.planned)} are not measured yet')
        units = [f'- {kind}: {UNITS[kind]}' for kind in UNITS if self._of(kind=kind)]
        modalities = [each for each in MODALITIES if self._of(modality=each)]
        tables = [self.table(each).markdown() for each in modalities]
        lines = '\n'.join([*notes, *units])
        return '\n'.join([f'# Degraded images\n\n{lines}\n', *tables])

    def table(self, modality: str) -> Table:
        """Lay out the IoU at each level of each kind, and how far its mean falls.

        Args:
            modality: What is degraded, ``'rgb'`` or ``'aux'``.
        """
        first, *others = self.shown
        header = ('kind and level', _short(first), 'drop', *map(_short, others))

        def row(name: str, metrics: Metrics) -> tuple[str, ...]:
            drop = self.clean[first] - metrics[first]
            return (name, *(f'{x:.2f}' for x in (metrics[first], drop)), *cells(metrics))

        def cells(metrics: Metrics) -> list[str]:
            return [f'{metrics[name]:.2f}' for name in others]

        rows = [row('as it is', self.clean)]
        for each in self._of(modality=modality):
            rows.append(row(f'{each.kind} {each.level:g}', self.measured[each]))
        return Table(f'{modality} degraded', header, rows)

    def _of(self, **wanted: str) -> list[Degradation]:
        """Those that are measured, of a kind or modality, in their order."""
        return [
            each
            for each in self.planned
            if each in self.measured and all(getattr(each, k) == v for k, v in wanted.items())
        ]

    def _records(self) -> list[dict[str, Any]]:
        found = [{'modality': '', 'kind': 'none', 'level': 0.0, **self.clean}]
        for each in self._of():
            place = {'modality': each.modality, 'kind': each.kind, 'level': each.level}
            found.append({**place, **self.measured[each]})
        return found

    def _numbers(self) -> dict[str, Any]:
        records = [
            {key: None if isinstance(x, float) and math.isnan(x) else x for key, x in row.items()}
            for row in self._records()
        ]
        units = {kind: UNITS[kind] for kind in UNITS if self._of(kind=kind)}
        finished = len(self.measured) == len(self.planned)
        told = {'facts': self.facts, 'finished': finished, 'units': units}
        return {**told, 'measured': records}

    def plot(self) -> np.ndarray:
        """Draw the curves: a row a metric, a column a kind, a line a modality.

        Returns:
            (h, w, 3) uint8.
        """
        kinds = [kind for kind in UNITS if self._of(kind=kind)] or list(UNITS)[:1]
        names = self.shown
        size = (max(2.3 * len(kinds), 4), 1.55 * len(names) + 0.7)
        figure = Figure(size, dpi=DPI, facecolor='white', layout='constrained')
        canvas = FigureCanvasAgg(figure)
        places = figure.subplots(len(names), len(kinds), squeeze=False, sharey='row', sharex='col')
        figure.supylabel('IoU, %' if len(names) > 1 else '', fontsize=FONT)
        for row, name in zip(places, names, strict=True):
            for axes, kind in zip(row, kinds, strict=True):
                self._draw_panel(axes, kind, name)
            low, high = row[0].get_ylim()
            if high - low < LEAST_SPAN:  # else rounding would look like a change
                row[0].set_ylim((low + high - LEAST_SPAN) / 2, (low + high + LEAST_SPAN) / 2)
            row[0].set_ylabel(_short(name).replace('_', ' '), fontsize=FONT)
        for kind, top, bottom in zip(kinds, places[0], places[-1], strict=True):
            top.set_title(kind, fontsize=FONT + 1)
            bottom.set_xlabel(UNITS[kind].replace(', ', ',\n'), fontsize=FONT)
        lines, labels = places[0][0].get_legend_handles_labels()
        for axes in places.flat:  # a kind may be measured of one modality alone
            for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
                if label not in labels:
                    lines, labels = [*lines, line], [*labels, label]
        figure.legend(lines, labels, loc='outside upper center', ncols=len(labels), fontsize=FONT)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()

    def _draw_panel(self, axes: Axes, kind: str, name: str) -> None:
        start = UNDEGRADED[kind]
        axes.axhline(self.clean[name], color='0.6', linewidth=0.8, linestyle='--', label='as it is')
        levels = {start}
        for modality, (marker, colour) in COLOURS.items():
            found = self._of(kind=kind, modality=modality)
            if found:
                across = [start, *(each.level for each in found)]
                levels |= set(across)
                upwards = [self.clean[name], *(self.measured[each][name] for each in found)]
                style = {'marker': marker, 'color': colour, 'markersize': 3.5, 'linewidth': 1.2}
                axes.plot(across, upwards, label=f'{modality} degraded', **style)
        ticks = sorted(levels)
        if kind in DOUBLING and len(ticks) > 1:
            least = ticks[1] if start == 0 else start
            axes.set_xscale('symlog', base=2, linthresh=least, linscale=1)
        axes.set_xticks(ticks, [f'{level:g}' for level in ticks], fontsize=FONT - 1)
        axes.minorticks_off()
        axes.tick_params(axis='y', labelsize=FONT - 1)
        axes.grid(color='0.9', linewidth=0.6)


def _short(name: str) -> str:
    return name.rpartition('/')[2].removeprefix('IoU.')
