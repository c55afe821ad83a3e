"""Which tiles a split names, and which of them another split names, too."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def refuse_twice(tiles: Sequence[str], source: str) -> None:
    """Refuse a split that names a tile more than once.

    Args:
        tiles: Names of the tiles.
        source: Where they are named.

    Raises:
        ValueError: If one is named again.
    """
    twice = [tile for tile, count in Counter(tiles).items() if count > 1]
    if twice:
        raise ValueError(f'{source} names {twice} more than once: name a tile once.')


def shared_files(paths: Sequence[str], others: Sequence[str]) -> list[str]:
    """Name the files of one split that another split reads, too, links followed.

    Args:
        paths: Files of one split.
        others: Files of the other.
    """
    known = {_identity(path) for path in others}
    return [path for path in paths if _identity(path) in known]


def _identity(path: str) -> tuple[int, int]:
    stat = Path(path).stat()
    return stat.st_dev, stat.st_ino
