"""What is told of a calibration: reliability diagrams and tables."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mobanet_mmseg.evaluation.calibration import Reliability
from mobanet_mmseg.experiments.tables import Table
from mobanet_mmseg.inference.calibration import Calibration
from mobanet_mmseg.visualization.pictures import save_picture
from mobanet_mmseg.writing import to_csv, write_text

FILES = ('calibration.md', 'calibration.csv', 'calibration.json', 'reliability.png')
DPI = 110
FONT = 8  # points
ACCURACY_COLOUR, GAP_COLOUR = '#8fb8d6', '#d9480f'
LEAST_SHARE = 1e-5  # of the pixels, where the logarithmic axis begins


@dataclass(frozen=True)
class CalibrationReport:
    """A calibration that was checked, as files.

    Args:
        calibration: What was found.
        before: Temperature of the checkpoint.
        classes: Name of each class.
        facts: What it was measured with, by name.
    """

    calibration: Calibration
    before: float
    classes: Sequence[str]
    facts: dict[str, Any]

    @property
    def _sides(self) -> dict[str, tuple[float, Reliability]]:
        found = self.calibration
        return {
            'before': (self.before, found.before),
            'after': (found.temperature, found.after),
        }

    def write(self, folder: Path) -> list[Path]:
        """Write tables, numbers and diagrams.

        Args:
            folder: Where to; older ones are replaced.

        Returns:
            The files.

        Raises:
            OSError: If one cannot be written.
        """
        text, records, numbers, picture = paths = [folder / name for name in FILES]
        write_text(text, self.markdown())
        write_text(records, to_csv(self._records()))
        write_text(numbers, json.dumps(self._numbers(), indent=1) + '\n')
        save_picture(picture, self.plot())
        return paths

    def summary(self) -> Table:
        """Lay out the errors before and after."""
        columns = ('temperature', 'ECE (%)', 'NLL (nats)', 'confidence (%)', 'accuracy (%)')
        rows = []
        for name, (temperature, found) in self._sides.items():
            means = found.summary
            cells = (means['ECE'], means['NLL'], means['confidence'], means['accuracy'])
            places = (2, 4, 2, 2)
            shown = (f'{x:.{place}f}' for x, place in zip(cells, places, strict=True))
            rows.append((name, f'{temperature:.4f}', *shown))
        return Table('Confidence and accuracy', ('', *columns), rows)

    def by_class(self) -> Table:
        """Lay out the accuracy and the confidence of each predicted class."""
        sides = [found.classes for _, found in self._sides.values()]
        header = ('predicted class', 'pixels', 'accuracy (%)', 'confidence before', 'after')
        rows = []
        for index, name in enumerate(self.classes):
            shares = sides[0]['accuracy'], *(side['confidence'] for side in sides)
            cells = (f'{100 * values[index]:.2f}' for values in shares)
            rows.append((name, f'{sides[0]["count"][index]:,}', *cells))
        return Table('By predicted class', header, rows)

    def markdown(self) -> str:
        """Lay out facts and tables."""
        facts = dict(self.facts)
        if self.calibration.folds:
            folds = ', '.join(f'{value:.4f}' for value in self.calibration.folds)
            facts['temperatures of the halves'] = f'{folds}; each is checked on the other half'
        lines = '\n'.join(f'- {name}: {value}' for name, value in facts.items())
        tables = '\n'.join(table.markdown() for table in (self.summary(), self.by_class()))
        return f'# Calibration\n\n{lines}\n\n{tables}'

    def _records(self) -> list[dict[str, Any]]:
        records = []
        for name, (temperature, found) in self._sides.items():
            bins = found.bins
            count = len(bins['count'])
            for index in range(count):
                edges = {'from': index / count, 'to': (index + 1) / count}
                values = {key: column[index].item() for key, column in bins.items()}
                records.append({'': name, 'temperature': temperature, **edges, **values})
        return records

    def _numbers(self) -> dict[str, Any]:
        found = self.calibration
        sides = {
            name: {'temperature': temperature, 'pixels': each.num_pixels, **each.summary}
            for name, (temperature, each) in self._sides.items()
        }
        told = {'temperature': found.temperature, 'temperatures_of_halves': list(found.folds)}
        return {**self.facts, **told, **sides}

    def plot(self) -> np.ndarray:
        """Draw the reliability diagrams before and after, each above the pixels of its bins.

        Returns:
            (h, w, 3) uint8.
        """
        figure = Figure((8, 5), dpi=DPI, facecolor='white', layout='constrained')
        canvas = FigureCanvasAgg(figure)
        heights = {'height_ratios': (3, 1)}
        upper, lower = figure.subplots(2, 2, sharex=True, sharey='row', gridspec_kw=heights)
        for top, bottom, (name, (temperature, found)) in zip(
            upper, lower, self._sides.items(), strict=True
        ):
            means = found.summary
            top.set_title(
                f'{name}: temperature {temperature:.3f}, ECE {means["ECE"]:.2f} %, '
                f'NLL {means["NLL"]:.3f}',
                fontsize=FONT + 1,
            )
            _draw_bins(top, bottom, found)
        upper[0].set_ylabel('accuracy', fontsize=FONT)
        lower[0].set_ylabel('share of the pixels', fontsize=FONT)
        lines = upper[0].get_legend_handles_labels()
        figure.legend(*lines, loc='outside lower center', ncols=3, fontsize=FONT)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_bins(top: Axes, bottom: Axes, found: Reliability) -> None:
    """Draw accuracy against confidence, and below the share of the pixels of each bin."""
    bins = found.bins
    count = len(bins['count'])
    centres, width = (np.arange(count) + 0.5) / count, 1 / count
    accuracy, confidence = bins['accuracy'], bins['confidence']
    top.bar(centres, accuracy, 0.95 * width, color=ACCURACY_COLOUR, label='accuracy')
    gap = {'bottom': accuracy, 'color': GAP_COLOUR, 'label': 'from there to the mean confidence'}
    top.bar(centres, confidence - accuracy, 0.3 * width, **gap)
    top.plot((0, 1), (0, 1), color='0.3', linewidth=1, linestyle='--', label='as sure as right')
    bottom.bar(centres, bins['count'] / found.num_pixels, 0.95 * width, color='0.55')
    bottom.set_yscale('log')
    bottom.set_xlabel('confidence', fontsize=FONT)
    for axes in (top, bottom):
        axes.set(xlim=(0, 1), ylim=(LEAST_SHARE if axes is bottom else 0, 1))
        axes.set_axisbelow(True)
        axes.grid(color='0.9', linewidth=0.6)
        axes.tick_params(labelsize=FONT - 1)
