"""Where the windows of a tiled prediction lie, strip by strip; plain integers, no tensor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, Literal, NamedTuple

PixelSpan = tuple[int, int]  # first and end, the end exclusive

EDGE = 256  # column blocks end at multiples of it, as a written file's blocks do

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


def describe_place(window: Window) -> str:
    """Name the rows and columns of a window, in a sentence.

    Args:
        window: The window.
    """
    rows, cols = f'{window.row} to {window.bottom - 1}', f'{window.col} to {window.right - 1}'
    return f'rows {rows}, columns {cols}, counted from 0'


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

        Raises:
            ValueError: If these are none of their kind, or as the class says.
        """
        for key in ('crop_size', 'stride'):
            sides = test_cfg[key]
            if not isinstance(sides, Sequence) or [type(side) for side in sides] != [int, int]:
                raise ValueError(f'test_cfg has {key}={sides!r}: give it as (height, width).')
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
        down: First row of each row of windows, and the row after its last.
        across: Their columns likewise, the same in all strips of a column block.
        read: Pixels to read for them: over their columns, the rows that the strips before did not.
        done: Pixels that no later strip touches, so that their prediction is known: rows of the
            column block that the strip belongs to, which is the whole width or a part of a wide
            image; no rows where another process answers for them.
    """

    down: Sequence[PixelSpan]
    across: Sequence[PixelSpan]
    read: Window
    done: Window

    @property
    def windows(self) -> list[Window]:
        """The windows, row by row; made when asked for: a large image has millions."""
        return [_window(rows, columns) for rows in self.down for columns in self.across]

    @property
    def touched(self) -> Window:
        """What the windows cover."""
        rows, columns = ((side[0][0], side[-1][1]) for side in (self.down, self.across))
        return _window(rows, columns)


def plan_strips(
    height: int, width: int, tiling: Tiling, max_width: int | None = None
) -> list[Strip]:
    """Cover an image with windows as MMSeg's slide mode does, and put them together into strips.

    The last window of a row or column is moved back until it lies inside; an image smaller than the
    window gets one window of its own size. No window comes twice. A strip is one row of windows, or
    as many as fill a batch.

    A wide image is cut into column blocks, each of them a list of strips from the top to the
    bottom. What reaches over a block's edge is in both blocks, so that each pixel sums the same
    windows in the same order with blocks and without.

    Source: ``EncoderDecoder.slide_inference`` of MMSegmentation 1.2.2.

    Args:
        height: Image height H, pixels.
        width: Image width W, pixels.
        tiling: Windows, strides and batch size.
        max_width: Columns of a block at most, pixels; None makes one block of all.

    Returns:
        Strips from the top to the bottom, block after block; what they have ``done`` is each pixel
        of the image, once.

    Raises:
        ValueError: If the image is empty.
    """
    rows = spans(height, tiling.window[0], tiling.stride[0])
    columns = spans(width, tiling.window[1], tiling.stride[1])
    rows_at_once = max(1, tiling.batch_size // len(columns))  # the same in all blocks
    strips = []
    for left, right in _column_blocks(width, max_width or width):
        touching = [span for span in columns if span[0] < right and span[1] > left]
        strips += _plan_block(rows, touching, (left, right), rows_at_once)
    return strips


def _column_blocks(width: int, max_width: int) -> list[PixelSpan]:
    """Cut columns into blocks of nearly one width."""
    count = -(-width // max_width)
    step = -(-width // (count * EDGE)) * EDGE
    return list(pairwise([*range(0, width, step), width]))


def _plan_block(
    rows: Sequence[PixelSpan], columns: Sequence[PixelSpan], block: PixelSpan, rows_at_once: int
) -> list[Strip]:
    """Cover the rows of one column block."""
    groups = [rows[i : i + rows_at_once] for i in range(0, len(rows), rows_at_once)]
    tops = [group[0][0] for group in groups]
    bottoms = [group[-1][1] for group in groups]
    touched = columns[0][0], columns[-1][1]
    return [
        Strip(
            down=group,
            across=columns,
            read=_window((read_before, bottom), touched),
            done=_window((top, next_top), block),
        )
        for group, read_before, bottom, top, next_top in zip(
            groups, [0, *bottoms], bottoms, tops, [*tops[1:], rows[-1][1]], strict=False
        )
    ]


def _window(rows: PixelSpan, columns: PixelSpan) -> Window:
    return Window(rows[0], columns[0], rows[1] - rows[0], columns[1] - columns[0])


def by_block(strips: Sequence[Strip]) -> list[list[Strip]]:
    """Part strips by the column block that they belong to.

    Args:
        strips: Strips, block after block.
    """
    return [list(block) for _, block in groupby(strips, lambda strip: strip.done.cols)]


def share_strips(strips: Sequence[Strip], rank: int, world_size: int) -> list[Strip]:
    """Take one process's share of the strips of each block: as many as the others', side by side.

    Before them come those strips, with no row done, whose windows reach into the share: each pixel
    sums the same windows in the same order as with one process.

    Args:
        strips: All strips.
        rank: Number of the process, from 0.
        world_size: Number of processes.

    Returns:
        The strips to run; none if there are fewer strips than processes.
    """
    return [s for block in by_block(strips) for s in _share_block(block, rank, world_size)]


def _share_block(strips: Sequence[Strip], rank: int, world_size: int) -> list[Strip]:
    first, end = (len(strips) * edge // world_size for edge in (rank, rank + 1))
    if first == end:
        return []
    own_top = strips[first].touched.row
    before = [strip for strip in strips[:first] if strip.touched.bottom > own_top]
    shared = [replace(strip, done=strip.done._replace(height=0)) for strip in before]
    shared += strips[first:end]
    shared[0] = replace(shared[0], read=shared[0].touched)
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
