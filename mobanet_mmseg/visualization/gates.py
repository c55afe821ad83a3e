"""Draws what DGFM's gates take from the auxiliary stream: over a tile, and class by class."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.visualization.colours import (
    NO_DATA_COLOUR,
    colourise,
    draw_aux,
    stretch,
)
from mobanet_mmseg.visualization.pictures import compose_panels

COLOURS = colormaps['PuOr_r']  # violet: from rgb; orange: from aux; white: from both alike
LEAST_REACH = 0.02  # of the colours to either side of 1/2
DPI = 130
FONT = 9  # points


def render_gates(
    *,
    rgb: np.ndarray,
    aux: np.ndarray,
    weight: np.ndarray,
    aux_kind: str = 'height',
    truth: np.ndarray | None = None,
    classes: Classes | None = None,
) -> np.ndarray:
    """Draw a tile and what each stage's gate takes from its auxiliary image.

    The colours reach as far to either side of 1/2 as all but 2 % of the pixels do; the legend
    says how far.

    Args:
        rgb: Optical image (h, w, C).
        aux: Auxiliary image (h, w, C).
        weight: Weight of the auxiliary stream (S, h, w), NaN where there is none.
        aux_kind: How the auxiliary image is drawn; see :func:`draw_aux`.
        truth: Class indices (h, w), if there are labels.
        classes: Of the truth.

    Returns:
        (H, W, 3) uint8.
    """
    title, relief = draw_aux(aux, aux_kind)
    panels, legend = {'optical': stretch(rgb), title: relief}, {}
    if truth is not None:
        panels['truth'] = colourise(truth, classes.palette)
        legend |= dict(zip(classes.names, classes.palette, strict=True))
    reach = reach_of(weight)
    for stage, values in enumerate(weight, 1):
        known = values[np.isfinite(values)]
        mean = f'{100 * known.mean():.1f} % aux' if known.size else 'no data'
        panels[f'stage {stage}: {mean}'] = _paint(values, reach)
    for offset in (-1, -0.5, 0, 0.5, 1):
        value = np.float32(0.5 + offset * reach)
        legend[f'{100 * value:.0f} % aux' if reach > 0.05 else f'{100 * value:.1f} % aux'] = tuple(
            int(part) for part in _paint(value, reach)
        )
    return compose_panels(panels, legend)


def reach_of(weight: np.ndarray) -> float:
    """Say how far weights lie to either side of 1/2, but for 2 % of them.

    Args:
        weight: Any shape, NaN where there is none.
    """
    known = np.abs(weight[np.isfinite(weight)] - 0.5)
    return max(LEAST_REACH, float(np.percentile(known, 98))) if known.size else LEAST_REACH


def _paint(values: np.ndarray, reach: float) -> np.ndarray:
    """Colour weights; (..., 3) uint8."""
    scaled = (np.nan_to_num(values, nan=0.5) - 0.5) / (2 * reach) + 0.5
    colours = (np.asarray(COLOURS(scaled))[..., :3] * 255).round().astype(np.uint8)
    return np.where(np.isfinite(values)[..., None], colours, np.uint8(NO_DATA_COLOUR))


def draw_gate_table(
    panels: dict[str, np.ndarray], classes: Sequence[str], title: str
) -> np.ndarray:
    """Draw tables of what is taken from the auxiliary image, classes down and stages across.

    Args:
        panels: (K, S) fractions by title, NaN where a class has no pixel.
        classes: Name of each row.
        title: Of the picture.

    Returns:
        (h, w, 3) uint8.
    """
    stages = next(iter(panels.values())).shape[1]
    size = (max(3.6, 0.75 * stages + 2.2) * len(panels), 0.42 * len(classes) + 1.5)
    figure = Figure(size, dpi=DPI, facecolor='white', layout='constrained')
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=FONT + 1)
    places = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (name, values) in zip(places, panels.items(), strict=True):
        reach = reach_of(values)
        axes.imshow(_paint(values, reach), aspect='auto')
        for (row, column), value in np.ndenumerate(values):
            text = '-' if np.isnan(value) else f'{100 * value:.1f}'
            dark = abs(value - 0.5) > 0.5 * reach
            axes.text(
                column,
                row,
                text,
                ha='center',
                va='center',
                fontsize=FONT,
                color='white' if dark else 'black',
            )
        axes.set_title(name, fontsize=FONT)
        axes.set_xticks(range(stages), [f'stage {stage}' for stage in range(1, stages + 1)])
        axes.set_yticks(range(len(classes)), [name.replace('_', ' ') for name in classes])
        axes.tick_params(labelsize=FONT, length=0)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
