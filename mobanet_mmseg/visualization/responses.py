"""Draws response maps of a class: models down, branches across."""

from typing import NamedTuple

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.visualization.colours import colourise, draw_aux, stretch

COLOURS = colormaps['turbo']
OPACITY = 0.6  # of a response over the grey image
BRIGHT = 99.5  # per cent of a map's pixels that are not brighter than the end of the colours
DPI = 130
PANEL = 3.2  # inches
FONT = 9  # points


class Scene(NamedTuple):
    """What the models look at.

    Args:
        rgb: Optical image (h, w, C).
        aux: Auxiliary image (h, w, C).
        aux_kind: How it is drawn; see :func:`draw_aux`.
        truth: Class indices (h, w), if there are labels.
        classes: Their names and colours.
        label: Index of the class.
    """

    rgb: np.ndarray
    aux: np.ndarray
    aux_kind: str
    truth: np.ndarray | None
    classes: Classes
    label: int


class ResponseRow(NamedTuple):
    """What one model makes of it.

    Args:
        name: Of the model.
        maps: (h, w) response by title; None where the model has no such branch.
        prediction: Class indices (h, w).
    """

    name: str
    maps: dict[str, np.ndarray | None]
    prediction: np.ndarray


def draw_responses(scene: Scene, rows: list[ResponseRow]) -> np.ndarray:
    """Draw the images and the truth, and below them each model's response maps.

    A map's colours reach from 0 to its own greatest values. The class is outlined in white, as each
    model predicts it.

    Args:
        scene: What the models look at.
        rows: The models, from the top.

    Returns:
        (h, w, 3) uint8.
    """
    height, width = scene.rgb.shape[:2]
    columns = max(3, *(len(row.maps) for row in rows))
    side = PANEL * np.array([width, height]) / max(height, width)
    size = side * (columns, len(rows) + 1) + (1.0, 0.5 + 0.3 * len(rows))
    figure = Figure(tuple(size), dpi=DPI, facecolor='white', layout='constrained')
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows) + 1, columns, squeeze=False)
    for each in axes.ravel():
        each.set_xticks([])
        each.set_yticks([])
    name = scene.classes.names[scene.label].replace('_', ' ')
    optical = stretch(scene.rgb)
    title, relief = draw_aux(scene.aux, scene.aux_kind) if scene.aux.shape[-1] else ('', None)
    truth = None if scene.truth is None else colourise(scene.truth, scene.classes.palette)
    images = {'optical': optical, title: relief, 'truth': truth}
    for place, (title, image) in zip(axes[0], images.items(), strict=False):
        _show(place, title, image)
    for place in axes[0][len(images) :]:
        place.set_visible(False)
    grey = cv2.cvtColor(optical, cv2.COLOR_RGB2GRAY)[..., None]
    for line, row in zip(axes[1:], rows, strict=True):
        own = row.prediction == scene.label
        line[0].set_ylabel(row.name, fontsize=FONT + 1)
        for place, (title, response) in zip(line, row.maps.items(), strict=False):
            _show(place, title, None if response is None else _overlay(grey, response, own))
    scale = ScalarMappable(Normalize(0, 1), COLOURS)
    bar = figure.colorbar(scale, ax=axes[1:], shrink=0.8, ticks=[0, 1], pad=0.01)
    bar.ax.set_yticklabels(['0', 'most'], fontsize=FONT)
    bar.set_label(f'response to {name}', fontsize=FONT)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _show(axes: Axes, title: str, image: np.ndarray | None) -> None:
    if image is None:
        if not title or title == 'truth':
            axes.set_visible(False)
        else:
            axes.text(0.5, 0.5, 'no such branch', ha='center', va='center', fontsize=FONT)
            axes.set_title(title, fontsize=FONT)
        return
    axes.imshow(image, interpolation='nearest')
    axes.set_title(title, fontsize=FONT)


def _overlay(grey: np.ndarray, response: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Lay a response over a grey image, and outline where the class is."""
    known = np.isfinite(response)
    most = np.percentile(response[known], BRIGHT) if known.any() else 0
    scaled = np.nan_to_num(response) / max(most, np.finfo(np.float32).tiny)
    colours = 255 * np.asarray(COLOURS(scaled.clip(0, 1)))[..., :3]
    mixed = np.where(known[..., None], OPACITY * colours + (1 - OPACITY) * grey, grey)
    picture = np.ascontiguousarray(mixed.astype(np.uint8))
    edges, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    thickness = max(1, max(response.shape) // 400)
    return cv2.drawContours(picture, edges, -1, (255, 255, 255), thickness)
