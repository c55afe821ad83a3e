"""Draws an optical image, its auxiliary image and label maps side by side."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mobanet_mmseg.visualization.colours import (
    UNLABELLED_COLOUR,
    Colour,
    colourise,
    hillshade,
    stretch,
)

LEAST_PIXELS = 360  # longer side of a panel; below it titles and legend would not fit
WRONG_COLOUR = (214, 0, 147)  # like no class of the ISPRS palette
RIGHT_COLOUR = (233, 236, 239)
FRAME_COLOUR = 128  # a white class at the edge is not part of the page
DPI = 100
ENDINGS = ('.png', '.jpg', '.jpeg')


def draw_panels(
    out_path: str | Path,
    *,
    rgb: np.ndarray,
    aux: np.ndarray,
    truth: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    palette: Sequence[Colour],
    classes: Sequence[str],
    errors: bool = False,
    ignore_index: int = 255,
    max_pixels: int = 1200,
) -> None:
    """Draw the panels of :func:`render_panels` into an image file.

    The file is written beside ``out_path`` and takes its name only once it is complete.

    Args:
        out_path: Where to write, PNG or JPEG by its ending; missing folders are made.
        rgb: Optical image (H, W, C).
        aux: Auxiliary image (H, W) or (H, W, C).
        truth: Class indices (H, W), if there are labels.
        prediction: Class indices (H, W), if there is a prediction.
        palette: Red, green and blue of each class, 0 to 255.
        classes: Name of each class.
        errors: Adds a panel of the wrong pixels.
        ignore_index: Index of pixels without a class.
        max_pixels: Longer side of a panel, pixels.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the sizes or the classes do not fit, or the ending is not one of an image.
    """
    out_path = Path(out_path)
    check_ending(out_path)
    picture = render_panels(
        rgb=rgb,
        aux=aux,
        truth=truth,
        prediction=prediction,
        palette=palette,
        classes=classes,
        errors=errors,
        ignore_index=ignore_index,
        max_pixels=max_pixels,
    )
    save_picture(out_path, picture)


def save_picture(out_path: str | Path, picture: np.ndarray) -> None:
    """Write a picture beside its goal and rename it once it is complete.

    Args:
        out_path: Where to write, PNG or JPEG by its ending; missing folders are made.
        picture: (h, w, 3) uint8.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the ending is not one of an image.
    """
    out_path = Path(out_path)
    check_ending(out_path)
    _, encoded = cv2.imencode(out_path.suffix.lower(), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    part = out_path.with_name(f'.{out_path.name}.{os.getpid()}.part')
    try:
        out_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(encoded.tobytes())
            part.replace(out_path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            f'{out_path} could not be written ({error}): check the free space and the permissions '
            'there, or choose another place.'
        ) from error


def check_ending(path: str | Path) -> None:
    """Refuse a name that does not end like an image file's.

    Args:
        path: Where a picture is to be written.

    Raises:
        ValueError: If the ending is none of .png, .jpg and .jpeg.
    """
    if Path(path).suffix.lower() not in ENDINGS:
        raise ValueError(f'{path} is to be a picture: end its name in one of {", ".join(ENDINGS)}.')


def render_panels(
    *,
    rgb: np.ndarray,
    aux: np.ndarray,
    truth: np.ndarray | None = None,
    prediction: np.ndarray | None = None,
    palette: Sequence[Colour],
    classes: Sequence[str],
    errors: bool = False,
    ignore_index: int = 255,
    max_pixels: int = 1200,
) -> np.ndarray:
    """Render optical image, hillshade, truth, prediction and errors with one legend.

    Large inputs are reduced, images by area and labels by nearest pixel; small ones are enlarged
    pixel by pixel.

    Args:
        rgb: Optical image (H, W, C), its first three channels shown; values that are not 0..255
            are stretched between their 2nd and 98th percentile.
        aux: Auxiliary image (H, W) or (H, W, C), its first channel shown as relief lit from the
            north-west; any unit, NaN where there is none.
        truth: Class indices (H, W), if there are labels.
        prediction: Class indices (H, W), if there is a prediction.
        palette: Red, green and blue of each class, 0 to 255.
        classes: Name of each class.
        errors: Adds a panel of the wrong pixels; needs truth and prediction.
        ignore_index: Index of pixels without a class, drawn black.
        max_pixels: Longer side of a panel, pixels.

    Returns:
        (h, w, 3) uint8.

    Raises:
        ValueError: If the sizes differ, the palette does not fit the classes, or an error panel has
            nothing to compare.
    """
    aux = aux[..., 0] if aux.ndim == 3 else aux
    _check(rgb, aux, truth, prediction, palette, classes, errors)
    height, width = rgb.shape[:2]
    longer = max(height, width)
    scale = min(math.ceil(LEAST_PIXELS / longer), max_pixels / longer)
    shape = max(1, round(height * scale)), max(1, round(width * scale))
    panels = {
        'optical': _resize(stretch(rgb), shape),
        'aux (hillshade)': _resize(hillshade(_reduce(aux, shape)), shape),
    }
    maps = {
        name: _resize(labels.astype(np.int32), shape, nearest=True)
        for name, labels in (('truth', truth), ('prediction', prediction))
        if labels is not None
    }
    panels.update({name: colourise(labels, palette) for name, labels in maps.items()})
    if errors:
        wrong, unlabelled = maps['prediction'] != maps['truth'], maps['truth'] == ignore_index
        panel = np.where(wrong[..., None], np.uint8(WRONG_COLOUR), np.uint8(RIGHT_COLOUR))
        panel[unlabelled] = UNLABELLED_COLOUR
        share = 100 * wrong[~unlabelled].mean() if not unlabelled.all() else 0
        panels[f'errors ({share:.1f} %)'] = panel
    legend = dict(zip(classes, palette, strict=True)) if maps else {}
    if errors and share > 0:
        legend['wrong'] = WRONG_COLOUR
    if any(((labels < 0) | (labels >= len(classes))).any() for labels in maps.values()):
        legend['no class'] = UNLABELLED_COLOUR
    return compose_panels(panels, legend)


def _check(
    rgb: np.ndarray,
    aux: np.ndarray,
    truth: np.ndarray | None,
    prediction: np.ndarray | None,
    palette: Sequence[Colour],
    classes: Sequence[str],
    errors: bool,
) -> None:
    """Refuse panels that do not lie on one grid, and legends that do not fit."""
    layers = {'aux': aux, 'truth': truth, 'prediction': prediction}
    for name, layer in layers.items():
        if layer is not None and layer.shape != rgb.shape[:2]:
            raise ValueError(
                f'A picture needs one grid, but rgb is {rgb.shape[:2]} and {name} {layer.shape} '
                'pixels: give both at the same size.'
            )
    if len(palette) != len(classes):
        raise ValueError(
            f'A picture of {len(classes)} classes got {len(palette)} colours: give one for each.'
        )
    if errors and (truth is None or prediction is None):
        raise ValueError('A picture of the errors needs truth and prediction: give both.')


def _reduce(aux: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Reduce an auxiliary image by area to at most ``shape``, keeping NaN where it was."""
    if aux.shape[0] <= shape[0]:
        return aux
    missing = ~np.isfinite(aux)
    fill = 0.0 if missing.all() else float(np.median(aux[~missing]))
    reduced = _resize(np.where(missing, fill, aux).astype(np.float32), shape)
    reduced[_resize(missing.astype(np.uint8), shape, nearest=True) > 0] = np.nan
    return reduced


def _resize(image: np.ndarray, shape: tuple[int, int], nearest: bool = False) -> np.ndarray:
    """Reduce by area, or by nearest pixel; enlarge pixel by pixel."""
    nearest = nearest or image.shape[0] < shape[0]
    method = cv2.INTER_NEAREST_EXACT if nearest else cv2.INTER_AREA
    return cv2.resize(image, shape[::-1], interpolation=method)


def _columns(num_panels: int, width: int, height: int) -> int:
    """Choose columns: all panels about three times as wide as high, and few empty places."""

    def misfit(columns: int) -> float:
        rows = math.ceil(num_panels / columns)
        empty = rows * columns / num_panels
        return abs(math.log(columns * width / (rows * height) / 3)) + 2 * math.log(empty)

    return min(range(num_panels, 0, -1), key=misfit)


def compose_panels(panels: dict[str, np.ndarray], legend: dict[str, Colour]) -> np.ndarray:
    """Lay titled panels out with the legend below; one pixel of a panel is one of the picture.

    Args:
        panels: (h, w, 3) uint8 of one size, by title.
        legend: Colours by name.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = next(iter(panels.values())).shape[:2]
    columns = _columns(len(panels), width, height)
    rows = math.ceil(len(panels) / columns)
    text = min(max(min(max(height, width) // 32, width // 10), 13), 30)  # height of letters, pixels
    gap, title = text, 2 * text
    cell = max(width, 9 * text) + gap  # wide enough for a title
    total_width = max(columns * cell + gap, 36 * text)
    longest = max(map(len, legend), default=0)
    entry = int((0.55 * longest + 5) * text)
    legend_columns = max(1, min(len(legend), total_width // entry))
    legend_height = math.ceil(len(legend) / legend_columns) * 2 * text + gap // 2
    total_height = rows * (title + height) + gap // 2 + legend_height

    figure = Figure(figsize=(total_width / DPI, total_height / DPI), dpi=DPI, facecolor='white')
    canvas = FigureCanvasAgg(figure)
    left = (total_width - columns * cell + gap) // 2
    for index, (name, panel) in enumerate(panels.items()):
        x = left + index % columns * cell
        y = index // columns * (title + height) + title  # from the top
        framed = np.pad(panel, ((1, 1), (1, 1), (0, 0)), constant_values=FRAME_COLOUR)
        figure.figimage(framed, xo=x - 1, yo=total_height - y - height - 1, origin='upper')
        figure.text(
            x / total_width,
            1 - (y - 0.5 * text) / total_height,
            name,
            fontsize=text * 72 / DPI,
            verticalalignment='bottom',
        )
    patches = [
        Patch(facecolor=np.array(colour) / 255, edgecolor='0.3', linewidth=1, label=name)
        for name, colour in legend.items()
    ]
    if patches:
        figure.legend(
            handles=patches,
            labels=[name.replace('_', ' ') for name in legend],
            loc='lower center',
            ncols=legend_columns,
            frameon=False,
            fontsize=text * 72 / DPI,
            borderaxespad=0.2,
        )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
