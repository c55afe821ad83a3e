"""What the values, colours or attributes of labels mean: NAME=VALUE, as a user types it."""

import colorsys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mobanet_mmseg.datasets.multimodal import IGNORE_INDEX, MAX_CLASSES

OTHER = 'other'
GOLDEN_ANGLE = 0.381966  # of the circle of hues: neighbours in the list are far apart in colour
SHOWN = 12

Kind = Literal['value', 'color', 'attribute']
Key = int | float | str | tuple[int, int, int]


@dataclass(frozen=True)
class Legend:
    """Which class a label means.

    Args:
        kind: What a label is told by.
        classes: Name of each class.
        palette: Red, green and blue of each class, 0 to 255.
        lookup: Class index of each value, colour or attribute; 255 where it is no label.
        ignores_others: Whether what the lookup does not have is no label, too.
        background: Class index of what no polygon covers, 255 where that is no label.
    """

    kind: Kind
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    lookup: dict[Key, int]
    ignores_others: bool = False
    background: int = IGNORE_INDEX


def parse_legend(
    kind: Kind, pairs: Sequence[str], ignore: Sequence[str] = (), background: str | None = None
) -> Legend:
    """Read NAME=VALUE pairs; a name may come several times, which merges its values.

    Args:
        kind: ``'value'``: numbers; ``'color'``: R,G,B; ``'attribute'``: any text.
        pairs: ``NAME=VALUE``, in the order of the class indices.
        ignore: Values that are no label; ``'other'`` is every value that no pair names.
        background: Class of what no polygon covers; it is added where no pair names it.

    Raises:
        ValueError: If a text is no such pair, a value is named twice, or there are no classes.
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
    palette = tuple(colours.get(name) or _colour(i) for i, name in enumerate(names))
    return Legend(
        kind,
        tuple(names),
        palette,
        lookup,
        OTHER in ignore,
        IGNORE_INDEX if background is None else names.index(background),
    )


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
