"""The classes of a label map: their names and their colours, which travel together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_CLASSES = 254  # labels are bytes, 254 marks what no class has, 255 is ignored
IGNORE_INDEX = 255


@dataclass(frozen=True)
class Classes:
    """Names and colours of classes, by index.

    Args:
        names: Name of each class.
        palette: Red, green and blue of each class, 0 to 255.

    Raises:
        ValueError: If there are no classes or too many, or the colours do not fit them.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]

    def __init__(self, names: Sequence[str], palette: Sequence[Sequence[int]]) -> None:
        if not 0 < len(names) <= IGNORE_INDEX or len(palette) != len(names):
            raise ValueError(
                f'There are {len(names)} classes and {len(palette)} colours: give 1 to '
                f'{IGNORE_INDEX} classes and one colour (red, green, blue) for each.'
            )
        odd = next((colour for colour in palette if len(colour) != 3), None)
        if odd is not None:
            raise ValueError(f'The palette has {odd}: a colour is three numbers, red, green, blue.')
        object.__setattr__(self, 'names', tuple(map(str, names)))
        object.__setattr__(self, 'palette', tuple(tuple(map(int, colour)) for colour in palette))

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> 'Classes':
        """Read a dataset's ``metainfo``.

        Args:
            meta: ``classes`` and ``palette``, as in MMSeg.
        """
        return cls(meta['classes'], meta['palette'])

    def __len__(self) -> int:
        """Number of classes K."""
        return len(self.names)

    @property
    def colour_table(self) -> dict[int, tuple[int, int, int, int]]:
        """Red, green, blue and alpha of each index; ``IGNORE_INDEX`` is transparent."""
        colours = {index: (*colour, 255) for index, colour in enumerate(self.palette)}
        return {**colours, IGNORE_INDEX: (0, 0, 0, 0)}

    @property
    def tags(self) -> dict[str, str]:
        """``CLASS_0`` ... of a label GeoTIFF, which has no tags without a text."""
        return {f'CLASS_{i}': name if name.strip() else str(i) for i, name in enumerate(self.names)}
