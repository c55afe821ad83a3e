"""Where the windows of a tiled prediction lie, strip by strip; plain integers, no tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, Literal, NamedTuple

PixelSpan = tuple[int, int]  # first and end, the end exclusive
Box = tuple[int, int, int, int]  # y1, x1, y2, x2, the ends exclusive

EDGE = 256  # band edges are multiples of it, as a written file's blocks are

BLENDS = (None, 'gaussian', 'cosine')


class Window(NamedTuple):
    """A rectangle of pixels; the one notation of it, height before width.

    Args:
        row: First row.
        col: First column.
        height: Rows, pixels.
        width: Columns, pixels.
    """

    row: int
    col: int
    height: int
    width: int

    @property
    def bottom(self) -> int:
        """Row after the last one."""
        return self.row + self.height

    @property
    def right(self) -> int:
        """Column after the last one."""
        return self.col + self.width

    @property
    def rows(self) -> slice:
        """Its rows, to index an array by."""
        return slice(self.row, self.bottom)

    @property
    def cols(self) -> slice:
        """Its columns, to index an array by."""
        return slice(self.col, self.right)


@dataclass(frozen=True)
class Tiling:
    """How an image is covered with windows.

    Args:
        window: Window height and width, pixels.
        stride: Step down and step right, pixels.
        batch_size: Windows that the network gets at once.
        blend: Weight of a window's pixels: all alike (None), or less towards its border.

    Raises:
        ValueError: If a number is below 1, a step is longer than its window, or there is no such
            blend.
    """

    window: tuple[int, int]
    stride: tuple[int, int]
    batch_size: int = 1
    blend: Literal['gaussian', 'cosine'] | None = None

    def __post_init__(self) -> None:  # noqa: D105  (the class says what it raises)
        if min(*self.window, *self.stride, self.batch_size) < 1:
            raise ValueError(
                f'Windows, strides and batches are at least 1, but the window is {self.window}, '
                f'the stride {self.stride} pixels and the batch {self.batch_size} windows.'
            )
        for window, stride, side in zip(self.window, self.stride, ('height', 'width'), strict=True):
            if stride > window:
                raise ValueError(
                    f'A stride of {stride} pixels leaves holes between windows of {window} pixels '
                    f'({side}): choose a stride of at most {window}.'
                )
        if self.blend not in BLENDS:
            raise ValueError(f"blend={self.blend!r}; it is 'gaussian', 'cosine' or None.")

    @classmethod
    def of(cls, test_cfg: Mapping[str, Any]) -> 'Tiling':
        """Read a segmentor's ``test_cfg``.

        Args:
            test_cfg: ``crop_size`` and ``stride``, as in MMSeg, and the optional ``batch_size``
                and ``blend``.
        """
        return cls(
            window=tuple(test_cfg['crop_size']),
            stride=tuple(test_cfg['stride']),
            batch_size=test_cfg.get('batch_size', 1),
            blend=test_cfg.get('blend'),
        )


@dataclass(frozen=True)
class Strip:
    """Windows that lie side by side, in one row of the grid or in some.

    Args:
        windows: The windows, row by row.
        read: Rows that they need and the strips before did not.
        done: Rows that no later strip touches, so that their prediction is known; none where
            another process answers for them.
        done_columns: Columns of the band that the strip belongs to: all, or a part of a wide image.
    """

    windows: tuple[Box, ...]
    read: PixelSpan
    done: PixelSpan
    done_columns: PixelSpan

    @property
    def rows(self) -> PixelSpan:
        """First and last row that the windows touch, the end exclusive."""
        return self.windows[0][0], self.windows[-1][2]

    @property
    def columns(self) -> PixelSpan:
        """First and last column that the windows touch, the end exclusive."""
        return self.windows[0][1], self.windows[-1][3]


def plan_strips(
    height: int, width: int, tiling: Tiling, max_width: int | None = None
) -> list[Strip]:
    """Cover an image with windows as MMSeg's slide mode does, and put them together into strips.

    The last window of a row or column is moved back until it lies inside; an image smaller than the
    window gets one window of its own size. No window comes twice. A strip is one row of windows, or
    as many as fill a batch.

    A wide image is cut into bands side by side, each of them a list of strips from the top to the
    bottom. What reaches over a band's edge is in both bands, so that each pixel sums the same
    windows in the same order with bands and without.

    Source: ``EncoderDecoder.slide_inference`` of MMSegmentation 1.2.2.

    Args:
        height: Image height H, pixels.
        width: Image width W, pixels.
        tiling: Windows, strides and batch size.
        max_width: Columns that a band answers for at most, pixels; None makes one band of all.

    Returns:
        Strips from the top to the bottom, band after band; their ``done`` rows are all rows of
        their ``done_columns``, each once.

    Raises:
        ValueError: If the image is empty.
    """
    rows = spans(height, tiling.window[0], tiling.stride[0])
    columns = spans(width, tiling.window[1], tiling.stride[1])
    rows_at_once = max(1, tiling.batch_size // len(columns))  # the same in all bands
    strips = []
    for band in _bands(width, max_width or width):
        touching = [span for span in columns if span[0] < band[1] and span[1] > band[0]]
        strips += _plan_band(rows, touching, band, rows_at_once)
    return strips


def _bands(width: int, max_width: int) -> list[PixelSpan]:
    """Cut columns into bands of nearly one width."""
    count = -(-width // max_width)
    step = -(-width // (count * EDGE)) * EDGE
    return list(pairwise([*range(0, width, step), width]))


def _plan_band(
    rows: Sequence[PixelSpan],
    columns: Sequence[PixelSpan],
    done_columns: PixelSpan,
    rows_at_once: int,
) -> list[Strip]:
    """Cover the rows of one band."""
    groups = [rows[i : i + rows_at_once] for i in range(0, len(rows), rows_at_once)]
    tops = [group[0][0] for group in groups]
    bottoms = [group[-1][1] for group in groups]
    return [
        Strip(
            windows=tuple((y1, x1, y2, x2) for y1, y2 in group for x1, x2 in columns),
            read=(read_before, bottom),
            done=(top, next_top),
            done_columns=done_columns,
        )
        for group, read_before, bottom, top, next_top in zip(
            groups, [0, *bottoms], bottoms, tops, [*tops[1:], rows[-1][1]], strict=False
        )
    ]


def share_strips(strips: Sequence[Strip], rank: int, world_size: int) -> list[Strip]:
    """Take one process's share of the strips of each band: as many as the others', side by side.

    Before them come those strips, with no row done, whose windows reach into the share: each pixel
    sums the same windows in the same order as with one process.

    Args:
        strips: All strips.
        rank: Number of the process, from 0.
        world_size: Number of processes.

    Returns:
        The strips to run; none if there are fewer strips than processes.
    """
    shared = []
    for _, band in groupby(strips, key=lambda strip: strip.done_columns):
        shared += _share_band(list(band), rank, world_size)
    return shared


def _share_band(strips: Sequence[Strip], rank: int, world_size: int) -> list[Strip]:
    first, end = (len(strips) * edge // world_size for edge in (rank, rank + 1))
    if first == end:
        return []
    own_top = strips[first].rows[0]
    before = [strip for strip in strips[:first] if strip.rows[1] > own_top]
    shared = [replace(strip, done=(strip.rows[0], strip.rows[0])) for strip in before]
    shared += strips[first:end]
    shared[0] = replace(shared[0], read=shared[0].rows)
    return shared


def spans(length: int, window: int, stride: int) -> list[PixelSpan]:
    """Cover one side of an image.

    Args:
        length: Side of the image, pixels.
        window: Side of a window, pixels.
        stride: Step between windows, pixels.

    Returns:
        (first, end) of each window along the side.

    Raises:
        ValueError: If the side is empty.
    """
    if length < 1:
        raise ValueError(f'An image side is at least 1 pixel, but this one is {length}.')
    last = max(length - window, 0)
    # a range that stops short of `last` never repeats the window that is moved back to it
    starts = [*range(0, last, stride), last]
    return [(start, min(start + window, length)) for start in starts]
