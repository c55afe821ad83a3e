"""The plot of a study: each cell's score with both modalities and with either alone."""

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mobanet_mmseg.experiments.plots import DPI, FONT
from mobanet_mmseg.experiments.statistics import Summary

# by what a network gets: its name, marker and colour
INPUTS = {
    'both': ('both', 'o', '#222222'),
    'rgb': ('rgb alone', 's', '#b35900'),
    'aux': ('aux alone', 'D', '#00558b'),
}


class Line(NamedTuple):
    """A cell in the plot.

    Args:
        name: Its label.
        scores: By what it gets in the test.
    """

    name: str
    scores: dict[str, Summary]


def draw_cells(
    panels: dict[str, list[Line]], bounds: dict[str, dict[str, float]], score: str, title: str
) -> np.ndarray:
    """Draw the cells of each data set, one below another; what is not measured has no marker.

    Args:
        panels: Cells by the name of the data set.
        bounds: Scores of the networks that were trained on one modality alone, by the name of the
            data set and by modality: dashed lines.
        score: Name of the score.
        title: Of the picture.

    Returns:
        (h, w, 3) uint8.
    """
    names = list(dict.fromkeys(line.name for lines in panels.values() for line in lines))
    size = (3.2 + 4.6 * len(panels), 1.9 + 0.34 * len(names))
    figure = Figure(size, dpi=DPI, facecolor='white', layout='constrained')
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=FONT + 2)
    every = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, (panel, lines) in zip(every, panels.items(), strict=True):
        for modality, value in bounds.get(panel, {}).items():
            _, _, colour = INPUTS[modality]
            axes.axvline(
                value,
                color=colour,
                linestyle='--',
                linewidth=0.9,
                label=f'trained on {modality} alone',
            )
        _draw_lines(axes, {line.name: line.scores for line in lines}, names)
        axes.set_title(panel, fontsize=FONT + 1)
        axes.set_xlabel(f'{score}, ± standard deviation over seeds', fontsize=FONT)
    named = {}
    for axes in every:
        named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(named.values(), named.keys(), loc='outside lower center', ncols=5, fontsize=FONT)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_lines(axes: Axes, cells: dict[str, dict[str, Summary]], names: list[str]) -> None:
    for modality, (label, marker, colour) in INPUTS.items():
        shown = [
            (row, cells[name][modality])
            for row, name in enumerate(names)
            if name in cells and cells[name][modality].count
        ]
        axes.errorbar(
            [summary.mean for _, summary in shown],
            [row for row, _ in shown],
            xerr=[0 if math.isnan(summary.spread) else summary.spread for _, summary in shown],
            fmt=marker,
            color=colour,
            markersize=5,
            elinewidth=1,
            capsize=2,
            label=f'tested with {label}',
        )
    axes.set_yticks(range(len(names)), names, fontsize=FONT)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 100)
    axes.tick_params(axis='x', labelsize=FONT)
    axes.grid(axis='x', color='0.9', linewidth=0.6)
    axes.set_axisbelow(True)
