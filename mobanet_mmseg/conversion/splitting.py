"""Cuts a raster into tiles and splits them by area; pure, windows are (row, col, height, width)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

PixelWindow = tuple[int, int, int, int]


class Tile(NamedTuple):
    """One tile of a raster.

    Args:
        row: Row in the grid of tiles, from 0.
        col: Column in the grid of tiles, from 0.
        window: Its pixels, (row, col, height, width).
    """

    row: int
    col: int
    window: PixelWindow

    @property
    def area(self) -> int:
        """Number of pixels."""
        return self.window[2] * self.window[3]


def cut(height: int, width: int, tile: int, minimum: int) -> list[Tile]:
    """Cut a raster into tiles that cover each pixel once.

    A rest at the right or lower edge is a tile of its own where it is at least ``minimum`` wide;
    a narrower one joins the tile before it.

    Args:
        height: Rows of the raster, pixels.
        width: Columns of the raster, pixels.
        tile: Side of a tile, pixels.
        minimum: Least side of a tile, pixels.

    Raises:
        ValueError: If ``minimum`` is not within 1 and ``tile``, or the raster is smaller than one
            tile.
    """
    if not 1 <= minimum <= tile:
        raise ValueError(
            f'Got tiles of {tile} pixels that are at least {minimum} at an edge: give a least side '
            'within 1 and the tile.'
        )
    if min(height, width) < tile:
        raise ValueError(
            f'A tile of {tile} x {tile} pixels is larger than the raster of {height} x {width}: '
            'give a smaller tile.'
        )
    return [
        Tile(i, j, (top, left, rows, cols))
        for i, (top, rows) in enumerate(_intervals(height, tile, minimum))
        for j, (left, cols) in enumerate(_intervals(width, tile, minimum))
    ]


def split_blocks(
    tiles: Sequence[Tile], block: int, test_share: float, seed: int
) -> tuple[list[Tile], list[Tile]]:
    """Split tiles into training and test ones, block by block.

    A block is ``block`` x ``block`` tiles of the grid, all on one side of the split, so that tiles
    that touch are apart only along the blocks' borders. In an order drawn by the seed, a block
    goes to the test where that brings its share of the pixels closer to ``test_share``.

    Args:
        tiles: The tiles.
        block: Side of a block, tiles.
        test_share: Fraction of the pixels that are for the test, within 0 and 1.
        seed: Seed of the order.

    Returns:
        The training and the test tiles, each in the order of ``tiles`` and never empty.

    Raises:
        ValueError: If an argument is out of its range, or there are fewer than two blocks.
    """
    if block < 1:
        raise ValueError(f'Got blocks of {block} tiles: give 1 or more.')
    if not 0 < test_share < 1:
        raise ValueError(
            f'A test share of {test_share} leaves the test or the training empty: give a fraction '
            'between 0 and 1.'
        )
    areas: dict[tuple[int, int], int] = {}
    for tile in tiles:
        key = _block_of(tile, block)
        areas[key] = areas.get(key, 0) + tile.area
    if len(areas) < 2:
        raise ValueError(
            f'The {len(tiles)} tiles make up {len(areas)} block(s) of {block} x {block}, which '
            'leaves the test split empty: give smaller tiles or smaller blocks.'
        )
    goal = test_share * sum(areas.values())
    keys = list(areas)
    order = [keys[i] for i in np.random.default_rng(seed).permutation(len(keys))]
    chosen: set[tuple[int, int]] = set()
    area = 0
    for key in order[1:]:  # the first one trains, whatever the share
        if abs(area + areas[key] - goal) < abs(area - goal):
            chosen.add(key)
            area += areas[key]
    if not chosen:
        chosen = {min(order[1:], key=areas.__getitem__)}
    train = [tile for tile in tiles if _block_of(tile, block) not in chosen]
    return train, [tile for tile in tiles if _block_of(tile, block) in chosen]


def apart(train: Sequence[Tile], test: Sequence[Tile], gap: int) -> list[Tile]:
    """Keep the training tiles that have at least ``gap`` pixels between them and each test tile.

    Args:
        train: Training tiles.
        test: Test tiles.
        gap: Distance along the rows or the columns, pixels.
    """
    windows = np.array([tile.window for tile in test])
    start, end = windows[:, :2], windows[:, :2] + windows[:, 2:]
    kept = []
    for tile in train:
        own_start = np.array(tile.window[:2])
        own_end = own_start + tile.window[2:]
        between = np.maximum(start - own_end, own_start - end).max(axis=1)
        if between.min() >= gap:
            kept.append(tile)
    return kept


def _intervals(length: int, tile: int, minimum: int) -> list[tuple[int, int]]:
    """Starts and lengths of the tiles along one side."""
    starts = list(range(0, length, tile))
    if length - starts[-1] < minimum:
        starts.pop()
    ends = [*starts[1:], length]
    return [(start, end - start) for start, end in zip(starts, ends, strict=True)]


def _block_of(tile: Tile, block: int) -> tuple[int, int]:
    return tile.row // block, tile.col // block
