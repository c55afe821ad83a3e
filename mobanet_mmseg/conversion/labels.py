"""What labels mean, NAME=VALUE as a user types it, and labels of a raster on any grid."""

import colorsys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from rasterio.enums import Resampling
from rich.progress import track

from mobanet_mmseg.classes import IGNORE_INDEX, MAX_CLASSES, Classes
from mobanet_mmseg.datasets.loading import UNKNOWN, classes_of, nodata_lookup
from mobanet_mmseg.rasters.files import RasterInfo, read_info
from mobanet_mmseg.rasters.warping import WarpedRaster
from mobanet_mmseg.tiling.windows import Window

OTHER = 'other'
GOLDEN_ANGLE = 0.381966  # of the circle of hues: neighbours in the list are far apart in colour
SHOWN = 12
BANDS = {'value': 1, 'color': 3}

Kind = Literal['value', 'color', 'attribute']
Key = int | float | str | tuple[int, int, int]


@dataclass(frozen=True)
class LabelCodes:
    """Which class a label means.

    Args:
        kind: What a label is told by.
        classes: The classes; None where none is named, so that all labels are listed and refused.
        lookup: Class index of each value, colour or attribute; 255 where it is no label.
        ignores_others: Whether what the lookup does not have is no label, too.
        background: Class index of what no polygon covers, 255 where that is no label.
    """

    kind: Kind
    classes: Classes | None
    lookup: dict[Key, int]
    ignores_others: bool = False
    background: int = IGNORE_INDEX


class Labels(Protocol):
    """What labels of any kind are to the conversion."""

    def read(self, window: Window) -> np.ndarray:
        """Give (h, w) uint8 class indices on the optical grid, 255 where there is no label."""


def parse_codes(
    kind: Kind, pairs: Sequence[str], ignore: Sequence[str] = (), background: str | None = None
) -> LabelCodes:
    """Read NAME=VALUE pairs; a name may come several times, which merges its values.

    Args:
        kind: ``'value'``: numbers; ``'color'``: R,G,B; ``'attribute'``: any text.
        pairs: ``NAME=VALUE``, in the order of the class indices.
        ignore: Values that are no label; ``'other'`` is every value that no pair names.
        background: Class of what no polygon covers; it is added where no pair names it.

    Raises:
        ValueError: If a text is no such pair, a value is named twice, or the classes are too many.
    """
    lookup: dict[Key, int] = {}
    colours: dict[str, tuple[int, int, int]] = {}
    names: list[str] = []
    for pair in pairs:
        name, equals, text = pair.partition('=')
        if not (name and equals and text):
            raise ValueError(f'{pair!r} is no class: write NAME=VALUE, for example building=2.')
        key = _key(kind, text)
        if key in lookup:
            raise ValueError(f'{pair!r} names {text} again: give each value one class.')
        if name not in names:
            names.append(name)
        lookup[key] = names.index(name)
        if kind == 'color':
            colours.setdefault(name, key)
    if background is not None and background not in names:
        names.append(background)
    for text in ignore:
        if text != OTHER and lookup.setdefault(_key(kind, text), IGNORE_INDEX) != IGNORE_INDEX:
            raise ValueError(f'{text} is both a class and ignored: name it once.')
    if len(names) > MAX_CLASSES:
        raise ValueError(f'Got {len(names)} classes: give at most {MAX_CLASSES}.')
    palette = [colours.get(name) or _colour(i) for i, name in enumerate(names)]
    return LabelCodes(
        kind,
        Classes(names, palette) if names else None,
        lookup,
        OTHER in ignore,
        IGNORE_INDEX if background is None else names.index(background),
    )


def one_class(name: str, background: str | None = None) -> LabelCodes:
    """Make all polygons one class.

    Args:
        name: The class.
        background: Class of what no polygon covers.

    Raises:
        ValueError: If the two are one.
    """
    names = [name] if background is None else [name, background]
    if len({*names}) < len(names):
        raise ValueError(f'{name} is the class of the polygons and the background: give two names.')
    classes = Classes(names, [_colour(i) for i in range(len(names))])
    return LabelCodes(
        'attribute', classes, {name: 0}, background=len(names) - 1 if background else IGNORE_INDEX
    )


class RasterLabels:
    """A label raster on any grid, nearest neighbour.

    Args:
        path: The file.
        codes: Which class a value or a colour means.
        grid: Header of the optical raster.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no label raster of the codes' kind, or lies elsewhere.
    """

    def __init__(self, path: str, codes: LabelCodes, grid: RasterInfo) -> None:
        info = read_info(path)
        count = BANDS[codes.kind]
        _check_kind(info, codes.kind)
        self.path, self.codes = path, codes
        # nodata is looked up here: GDAL takes it band by band, so it would tear colours apart
        options = {'src_nodata': None, 'nodata': None, 'add_alpha': True, 'dtype': info.dtype}
        options['resampling'] = Resampling.nearest
        self._raster = WarpedRaster(info, grid, range(1, count + 2), options)
        self._lookup = nodata_lookup(info, count) | codes.lookup

    def __enter__(self) -> 'RasterLabels':
        """Open nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._raster.close()

    def read(self, window: Window) -> np.ndarray:
        """Read (h, w) uint8 class indices, 255 where there is no label.

        Args:
            window: Window of the optical grid.
        """
        labels, _ = self._read(window)
        labels[labels == UNKNOWN] = IGNORE_INDEX
        return labels

    def refuse_unknown(self, windows: Sequence[Window]) -> None:
        """Refuse values or colours that no class names.

        Args:
            windows: Windows of the optical grid that are to be read.

        Raises:
            ValueError: If there are any; they are listed with their numbers of pixels.
        """
        if self.codes.ignores_others:
            return
        unknown: Counter = Counter()
        for window in track(windows, 'Values of the labels'):
            labels, pixels = self._read(window)
            keys, counts = np.unique(pixels[labels == UNKNOWN], axis=0, return_counts=True)
            for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
                unknown[','.join(f'{part:g}' for part in key)] += count
        refuse_unknown(self.path, unknown, 'pixels')

    def _read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Class indices, ``UNKNOWN`` where there is none, and the pixels they come from."""
        bands = self._raster.read(window)  # the last one says where the file is
        labels = classes_of(bands[..., :-1], self._lookup)
        labels[bands[..., -1] == 0] = IGNORE_INDEX
        return labels, bands[..., :-1]


def refuse_unknown(path: str, unknown: Counter, unit: str) -> None:
    """Refuse labels that no class names.

    Args:
        path: File of the labels.
        unknown: How often each unnamed label was met.
        unit: What was counted.

    Raises:
        ValueError: If there is any.
    """
    if not unknown:
        return
    shown = ', '.join(f'{label} ({count} {unit})' for label, count in unknown.most_common(SHOWN))
    if len(unknown) > SHOWN:
        shown += f' and {len(unknown) - SHOWN} more'
    raise ValueError(
        f'{path} holds labels that no class names: {shown}; name each as NAME=VALUE, --ignore what '
        f'is no label, or --ignore {OTHER} for all of them.'
    )


def _check_kind(info: RasterInfo, kind: Kind) -> None:
    if info.count != BANDS[kind]:
        other = next((kind for kind, count in BANDS.items() if count == info.count), None)
        advice = {'value': 'give --classes NAME=VALUE', 'color': 'give --colors NAME=R,G,B'}
        raise ValueError(
            f'{info.path} has {info.count} band(s); labels told by {kind} have {BANDS[kind]}: '
            f'{advice.get(other, "convert it")}.'
        )
    if kind == 'color' and info.dtype != 'uint8':
        raise ValueError(f'{info.path} is {info.dtype}; labels in colours are uint8: convert it.')


def _key(kind: Kind, text: str) -> Key:
    try:
        if kind == 'attribute':
            return text
        if kind == 'value':
            number = float(text)
            return int(number) if number.is_integer() else number
        red, green, blue = (int(part) for part in text.split(','))
    except ValueError:
        expected = 'a number' if kind == 'value' else 'R,G,B'
        raise ValueError(f'{text!r} is no {kind} of a label: write {expected}.') from None
    if not all(0 <= part <= 255 for part in (red, green, blue)):
        raise ValueError(f'{text!r} is no colour: write R,G,B, each within 0 and 255.')
    return red, green, blue


def _colour(index: int) -> tuple[int, int, int]:
    """A colour of its own for each index, none of them black."""
    shades = ((0.75, 0.95), (0.45, 0.95), (0.85, 0.6))
    rgb = colorsys.hsv_to_rgb(index * GOLDEN_ANGLE % 1, *shades[index % 3])
    red, green, blue = (round(255 * part) for part in rgb)
    return red, green, blue
