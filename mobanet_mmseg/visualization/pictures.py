"""Draws an optical image, its auxiliary image and label maps side by side."""

import logging
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.logging import print_log
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.visualization.colours import (
    Colour,
    colourise,
    draw_aux,
    stretch,
    unlabelled_colour,
    unlike,
)
from mobanet_mmseg.writing import Stems, check_outputs, whole_file

LEAST_PIXELS = 360  # longer side of a panel; below it titles and legend would not fit
MOST_PIXELS = 1200  # longer side of a panel
# like no class of the ISPRS palette; the others are for palettes that have it
WRONG_COLOURS = ((214, 0, 147), (255, 128, 0), (0, 140, 255), (110, 60, 0), (120, 0, 255))
RIGHT_COLOUR = (233, 236, 239)
FRAME_COLOUR = 128  # a white class at the edge is not part of the page
DPI = 100
ENDINGS = ('.png', '.jpg', '.jpeg')


def save_picture(path: str | Path, picture: np.ndarray) -> None:
    """Write a picture, whole or not at all.

    Args:
        path: Where to write, PNG or JPEG by its ending; missing folders are made.
        picture: (h, w, 3) uint8.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the ending is not one of an image.
    """
    check_ending(path)
    ending = Path(path).suffix.lower()
    _, encoded = cv2.imencode(ending, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())


def check_ending(path: str | Path) -> None:
    """Refuse a name that does not end like an image file's.

    Args:
        path: Where a picture is to be written.

    Raises:
        ValueError: If the ending is none of .png, .jpg and .jpeg.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        raise ValueError(f'{path} is to be a picture: end its name in one of {", ".join(ENDINGS)}.')


def check_folder(folder: str | Path, ending: str, dataset: Dataset) -> None:
    """Refuse a folder of pictures or maps in which rasters of the dataset lie.

    Args:
        folder: Where files are to be written; it need not exist.
        ending: Of their names.
        dataset: What they are made of, wrapped or not.

    Raises:
        ValueError: If a file with that ending is read, or a source of a raster that is.
    """
    there = [path for path in Path(folder).glob('*') if path.suffix.lower() == ending]
    if there:
        check_outputs(there, files_behind(*rasters_of(dataset)))


def rasters_of(dataset: Dataset) -> list[str]:
    """Name the rasters that a dataset reads.

    Args:
        dataset: MMSeg's, or a wrapper of MMEngine's around some.
    """
    tiles = (dataset.get_data_info(index) for index in range(len(dataset)))
    keys = ('img_path', 'aux_path', 'seg_map_path')
    return [tile[key] for tile in tiles for key in keys if tile.get(key) is not None]


def stems_of(dataset: Dataset) -> Stems:
    """Name what is drawn or written of a dataset's optical rasters; of equal names a log tells.

    Args:
        dataset: MMSeg's, or a wrapper of MMEngine's around some.
    """
    tiles = (dataset.get_data_info(index) for index in range(len(dataset)))
    stems = Stems(tile['img_path'] for tile in tiles if tile.get('img_path') is not None)
    renamed = {stem: path for stem, path in stems.sources.items() if Path(path).stem != stem}
    if renamed:
        told = ', '.join(f'{path} is written as {stem}' for stem, path in renamed.items())
        print_log(f'Rasters have one name: {told}.', logger='current', level=logging.WARNING)
    return stems


def sample_name(sample: SegDataSample, stems: Stems) -> str:
    """Name what is drawn or written of a sample: its raster's stem, a window's row and column.

    Args:
        sample: With ``img_path`` and, of a window, ``window``.
        stems: Names of the rasters.
    """
    window = sample.get('window')
    corner = '' if window is None else f'_{window[0]}_{window[1]}'
    return f'{stems.of(sample.get("img_path") or "sample")}{corner}'


def render_panels(
    *,
    rgb: np.ndarray,
    aux: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    classes: Classes | None = None,
    aux_kind: str = 'height',
) -> np.ndarray:
    """Render optical image, auxiliary image, truth, prediction and their errors with one legend.

    Large inputs are reduced, images by area and labels by nearest pixel; small ones are enlarged
    pixel by pixel. Where truth and prediction both come, a panel shows the labelled pixels that
    differ, and says their share of all labelled pixels that have a prediction.

    Args:
        rgb: Optical image (H, W, C), its first three channels shown; see :func:`stretch`.
        aux: Auxiliary image (H, W) or (H, W, C), in any unit, NaN where there is none. None, or no
            channel, gives no panel.
        truth: Class indices (H, W), if there are labels.
        prediction: Class indices (H, W), if there is a prediction.
        classes: Of truth and prediction; an index that is none of them is drawn black,
            or in another colour where a class is black.
        aux_kind: How the auxiliary image is shown; see :func:`draw_aux`.

    Returns:
        (h, w, 3) uint8.
    """
    if aux is not None:
        aux = (aux if aux.ndim == 3 else aux[..., None])[..., :3]
    layers = {'truth': truth, 'prediction': prediction}
    layers = {name: labels for name, labels in layers.items() if labels is not None}
    assert all(labels.shape == rgb.shape[:2] for labels in layers.values())
    panels, legend = {'optical': _fit(stretch(rgb))}, {}
    if aux is not None and aux.shape[-1]:
        large = max(aux.shape) > MOST_PIXELS
        small = _fit(aux.astype(np.float32)).reshape(*_size(aux), -1) if large else aux
        title, picture = draw_aux(small, aux_kind)
        panels[title] = _fit(picture)
    if layers:
        maps = {name: _fit(labels.astype(np.int32), True) for name, labels in layers.items()}
        panels |= {name: colourise(labels, classes.palette) for name, labels in maps.items()}
        legend = dict(zip(classes.names, classes.palette, strict=True))
        if len(maps) == 2:
            title, share = _count_errors(**layers, count=len(classes))
            panels[title], wrong = _draw_errors(**maps, palette=classes.palette)
            legend |= {'wrong': wrong} if share else {}
        if any(((labels < 0) | (labels >= len(classes))).any() for labels in maps.values()):
            legend['no class'] = unlabelled_colour(classes.palette)
    return compose_panels(panels, legend)


def compose_panels(panels: dict[str, np.ndarray], legend: dict[str, Colour]) -> np.ndarray:
    """Lay titled panels out with the legend below; one pixel of a panel is one of the picture.

    Args:
        panels: (h, w, 3) uint8 of one size, by title; too small or large ones are resized.
        legend: Colours by name.

    Returns:
        (H, W, 3) uint8.
    """
    panels = {title: _fit(panel) for title, panel in panels.items()}
    height, width = next(iter(panels.values())).shape[:2]
    columns = _columns(len(panels), width, height)
    letter = min(max(min(max(height, width) // 32, width // 10), 13), 30)  # its height, pixels
    cell_height = 2 * letter + height
    cell_width = max(width, 9 * letter) + letter  # wide enough for a title
    total_width = max(columns * cell_width + letter, 36 * letter)
    entries = _legend_columns(legend, total_width / letter)
    legend_height = math.ceil(len(legend) / entries) * 2 * letter + letter // 2
    total_height = math.ceil(len(panels) / columns) * cell_height + letter // 2 + legend_height

    figure = Figure((total_width / DPI, total_height / DPI), dpi=DPI, facecolor='white')
    canvas = FigureCanvasAgg(figure)
    font = {'fontsize': letter * 72 / DPI}
    left = (total_width - columns * cell_width + letter) // 2
    for index, (title, panel) in enumerate(panels.items()):
        x = left + index % columns * cell_width
        top = total_height - index // columns * cell_height - 2 * letter  # above the lower edge
        framed = np.pad(panel, ((1, 1), (1, 1), (0, 0)), constant_values=FRAME_COLOUR)
        figure.figimage(framed, xo=x - 1, yo=top - height - 1, origin='upper')
        figure.text(x / total_width, (top + letter / 2) / total_height, title, **font)
    if legend:
        patches = [
            Patch(facecolor=np.divide(colour, 255), edgecolor='0.3', label=name.replace('_', ' '))
            for name, colour in legend.items()
        ]
        place = {'loc': 'lower center', 'borderaxespad': 0.2}
        figure.legend(handles=patches, ncols=entries, frameon=False, **place, **font)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _columns(num_panels: int, width: int, height: int) -> int:
    """Choose columns: all panels about three times as wide as high, and few empty places."""

    def unfitness(columns: int) -> float:
        rows = math.ceil(num_panels / columns)
        empty = rows * columns / num_panels
        return abs(math.log(columns * width / (rows * height) / 3)) + 2 * math.log(empty)

    return min(range(num_panels, 0, -1), key=unfitness)


def _legend_columns(legend: dict[str, Colour], letters: float) -> int:
    """Say how many entries of a legend stand side by side in a width of so many letters' height."""
    entry = 0.55 * max(map(len, legend), default=0) + 5
    return max(1, min(len(legend), int(letters / entry)))


def _count_errors(truth: np.ndarray, prediction: np.ndarray, count: int) -> tuple[str, float]:
    """The title of the errors, and their share of the pixels that have both a label and a class."""
    counted = _is_class(truth, count) & _is_class(prediction, count)
    if not counted.any():
        return 'errors (no labels)', 0.0
    share = float((truth != prediction)[counted].mean())
    return f'errors ({100 * share:.1f} %)', share


def _draw_errors(
    truth: np.ndarray, prediction: np.ndarray, palette: Sequence[Colour]
) -> tuple[np.ndarray, Colour]:
    """Where the two differ, and the colour of that, which is like none of the classes."""
    unlabelled, count = unlabelled_colour(palette), len(palette)
    wrong = unlike([*palette, unlabelled, RIGHT_COLOUR], *WRONG_COLOURS)
    panel = np.where((truth != prediction)[..., None], np.uint8(wrong), np.uint8(RIGHT_COLOUR))
    panel[~_is_class(truth, count) | ~_is_class(prediction, count)] = unlabelled
    return panel, wrong


def _is_class(labels: np.ndarray, count: int) -> np.ndarray:
    return (labels >= 0) & (labels < count)


def _fit(image: np.ndarray, nearest: bool = False) -> np.ndarray:
    """Enlarge pixel by pixel, or reduce by area or by nearest pixel, to a panel's size."""
    height, width = _size(image)
    nearest = nearest or height >= image.shape[0]
    method = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA
    return cv2.resize(image, (width, height), interpolation=method)


def _size(image: np.ndarray) -> tuple[int, int]:
    """Height and width of an image's panel."""
    height, width = image.shape[:2]
    longest = max(height, width)
    scale = min(math.ceil(LEAST_PIXELS / longest), MOST_PIXELS / longest)
    return max(1, round(height * scale)), max(1, round(width * scale))
