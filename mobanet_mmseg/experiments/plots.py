"""Plots of runs: scores against costs, and confusion matrices."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from matplotlib.transforms import Bbox

from mobanet_mmseg.experiments.statistics import Summary

DPI = 130
FONT = 8  # points, of labels
MARKERS = {'optical': ('o', '#b35900'), 'optical + aux': ('s', '#00558b')}
OTHER_MARKER = ('D', '#555555')
RADII = (9, 14, 20, 28, 38, 50, 64, 80, 100, 125)  # pixels from a point to its label
ANGLES = 16
MARKER_SIDE = 12  # pixels


class Point(NamedTuple):
    """One row in a plot.

    Args:
        name: Its label.
        cost: Across.
        score: Upwards, with its spread as a bar.
        kind: What tells its colour and marker.
    """

    name: str
    cost: float
    score: Summary
    kind: str


def draw_points(panels: dict[str, list[Point]], score: str, title: str) -> np.ndarray:
    """Draw scores against costs, side by side; no label lies on another one or on a point.

    Args:
        panels: Points by the name of the cost, which is on a logarithmic axis.
        score: Name of the score.
        title: Of the picture.

    Returns:
        (h, w, 3) uint8.
    """
    figure = Figure((7 * len(panels), 6), dpi=DPI, facecolor='white', layout='constrained')
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(_wrapped(title, 48 * len(panels)), fontsize=10)
    drawn = []
    for axes, (cost, points) in zip(
        np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels.items(), strict=True
    ):
        shown = [p for p in points if p.cost > 0 and math.isfinite(p.cost) and p.score.count]
        drawn.append((axes, shown))
        _draw_panel(axes, shown, cost)
        axes.set_ylabel(score)
    if not any(shown for _, shown in drawn):
        drawn[0][0].set_title('nothing has run yet', fontsize=FONT)
    named = {}
    for axes, _ in drawn:
        named |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if named:  # beside the points, not over them
        place = {'loc': 'outside lower center', 'ncols': len(named), 'fontsize': FONT}
        figure.legend(named.values(), named.keys(), **place)
    canvas.draw()  # gives the axes their places
    figure.set_layout_engine('none')
    for axes, shown in drawn:
        _label(axes, shown)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_panel(axes: Axes, points: Sequence[Point], cost: str) -> None:
    axes.set_xscale('log')
    axes.set_xlabel(f'{cost}, logarithmic')
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: ''))
    axes.grid(color='0.9', linewidth=0.6)
    axes.margins(0.12)
    costs = [point.cost for point in points]
    if costs and max(costs) < 1.1 * min(costs):  # too near one another for limits of their own
        axes.set_xlim(min(costs) / 2, max(costs) * 2)
    for kind in dict.fromkeys(point.kind for point in points):
        marker, colour = MARKERS.get(kind, OTHER_MARKER)
        own = [point for point in points if point.kind == kind]
        spreads = [point.score.spread if point.score.count > 1 else 0 for point in own]
        axes.errorbar(
            [point.cost for point in own],
            [point.score.mean for point in own],
            yerr=spreads if any(spreads) else None,
            fmt=marker,
            color=colour,
            markersize=5,
            elinewidth=0.8,
            capsize=2,
            label=kind,
        )


def _label(axes: Axes, points: Sequence[Point]) -> None:
    """Write each point's name at the nearest place that is free, with a line to the point."""
    renderer = axes.figure.canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    places = [axes.transData.transform((point.cost, point.score.mean)) for point in points]
    taken = []
    for point, place in zip(points, places, strict=True):  # each marker and its bar
        end = point.score.mean + (point.score.spread if point.score.count > 1 else 0)
        bar = 2 * (axes.transData.transform((point.cost, end))[1] - place[1])
        taken.append(_box(*place, MARKER_SIDE, max(MARKER_SIDE, bar)))
    for point, place in sorted(zip(points, places, strict=True), key=lambda pair: -pair[1][1]):
        text = axes.annotate(
            point.name, place, xycoords='figure pixels', fontsize=FONT, ha='center', va='center'
        )
        extent = text.get_window_extent(renderer)
        box = _free_place(place, extent.width + 4, extent.height + 2, taken, frame)
        taken.append(box)
        text.set_position(((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2))
        near = np.clip(place, (box.x0, box.y0), (box.x1, box.y1))
        if math.dist(near, place) > RADII[1]:
            axes.annotate(
                '',
                place,
                near,
                xycoords='figure pixels',
                textcoords='figure pixels',
                arrowprops=dict(arrowstyle='-', color='0.6', linewidth=0.6, shrinkA=0, shrinkB=3),
            )


def _free_place(
    place: Sequence[float], width: float, height: float, taken: Sequence[Bbox], frame: Bbox
) -> Bbox:
    """Find the box nearest to a point that covers nothing and lies in the frame; or the least."""
    best, least = None, math.inf
    for radius in RADII:
        for step in range(ANGLES):
            angle = 2 * math.pi * step / ANGLES
            x = place[0] + math.cos(angle) * (radius + width / 2)
            y = place[1] + math.sin(angle) * (radius + height / 2)
            box = _box(x, y, width, height)
            covered = sum(_shared(box, other) for other in taken)
            covered += width * height - _shared(box, frame)
            if covered < least:
                best, least = box, covered
            if covered <= 0:
                return box
    return best


def _box(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _shared(one: Bbox, other: Bbox) -> float:
    """Pixels that two boxes share."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(width, 0) * max(height, 0)


def _wrapped(text: str, letters: int) -> str:
    lines = ['']
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= letters:
            lines.append('')
        lines[-1] += f' {word}' if lines[-1] else word
    return '\n'.join(lines)


def draw_confusions(matrices: dict[str, np.ndarray], classes: Sequence[str]) -> np.ndarray:
    """Draw confusion matrices side by side, each row in per cent of its truth.

    Args:
        matrices: (K, K) pixel counts by name, truth down, prediction across.
        classes: Name of each class.

    Returns:
        (h, w, 3) uint8.
    """
    columns = min(len(matrices), 3)
    rows = math.ceil(len(matrices) / columns)
    side = max(3.6, 0.55 * len(classes) + 1.6)
    figure = Figure((side * columns, side * rows), dpi=DPI, facecolor='white', layout='constrained')
    canvas = FigureCanvasAgg(figure)
    names = [name.replace('_', ' ') for name in classes]
    places = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, (title, matrix) in zip(places, matrices.items(), strict=False):
        with np.errstate(invalid='ignore'):
            shares = 100 * matrix / matrix.sum(axis=1, keepdims=True)  # nan: a class without truth
        axes.imshow(np.nan_to_num(shares), cmap='Blues', vmin=0, vmax=100)
        for (row, column), share in np.ndenumerate(shares):
            axes.text(
                column,
                row,
                '-' if math.isnan(share) else f'{share:.1f}',
                ha='center',
                va='center',
                fontsize=FONT - 1,
                color='white' if share > 60 else 'black',
            )
        axes.set_title(title, fontsize=FONT + 2)
        axes.set_xticks(range(len(names)), names, rotation=45, ha='right', fontsize=FONT)
        axes.set_yticks(range(len(names)), names, fontsize=FONT)
        axes.set_xlabel('prediction', fontsize=FONT)
        axes.set_ylabel('truth (rows add up to 100 %)', fontsize=FONT)
    for axes in places[len(matrices) :]:
        axes.set_visible(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
