"""Traces the polygons of a label map, block by block, so that memory does not grow with the map.

Polygons are those of pixels that touch by their sides. Neighbours have all vertices of their
common border in common, simplified or not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import rasterio.features
import shapely
from rasterio.transform import Affine

from mobanet_mmseg.tiling.windows import Window

BLOCK = 1024  # side of the blocks, pixels

Traced = tuple[np.ndarray, np.ndarray]  # polygons in columns and rows, label of each


def trace_polygons(
    read: Callable[[Window], np.ndarray], height: int, width: int, tolerance: float = 0.0
) -> Iterator[Traced]:
    """Trace all polygons of equal labels.

    What lies inside of a block is given at once; what goes on in the next one is kept, put together
    at the end, and keeps its vertices at the blocks' edges where these are corners.

    Args:
        read: Gives the (h, w) uint8 labels of a window.
        height: Rows of the map, pixels.
        width: Its columns, pixels.
        tolerance: Corners are cut off whose triangle is smaller than its square, pixels;
            see :func:`shapely.coverage_simplify`.
    """
    kept = defaultdict(list)
    for row in range(0, height, BLOCK):
        for col in range(0, width, BLOCK):
            window = Window(row, col, min(BLOCK, height - row), min(BLOCK, width - col))
            polygons, labels = _trace_block(read(window), window, tolerance)
            goes_on = _reaches(polygons, window, height, width)
            for label in np.unique(labels[goes_on]):
                kept[int(label)].append(polygons[goes_on & (labels == label)])
            if not goes_on.all():
                yield (
                    _without_straight_vertices(polygons[~goes_on], height, width),
                    labels[~goes_on],
                )
    whole = {
        label: shapely.get_parts(shapely.coverage_union_all(np.concatenate(pieces)))
        for label, pieces in kept.items()
    }
    if whole:
        labels = np.repeat([*whole], [len(parts) for parts in whole.values()])
        yield _without_straight_vertices(np.concatenate([*whole.values()]), height, width), labels


def _trace_block(labels: np.ndarray, window: Window, tolerance: float) -> Traced:
    """Trace a block; polygons keep each pixel's corner along its edge, where neighbours meet."""
    place = Affine.translation(window.col, window.row)
    polygons, values = [], []
    for geometry, value in rasterio.features.shapes(labels, connectivity=4, transform=place):
        shell, *holes = geometry['coordinates']
        polygons.append(shapely.Polygon(shell, holes))
        values.append(int(value))
    # A vertex at each pixel, as GDAL leaves out those where a neighbour ends at a straight border;
    # rounded, as what lies between two others is interpolated.
    dense = shapely.transform(shapely.segmentize(np.array(polygons), 1.0), np.rint)
    simple = shapely.coverage_simplify(dense, tolerance, simplify_boundary=False)
    return simple, np.array(values)


def _reaches(polygons: np.ndarray, window: Window, height: int, width: int) -> np.ndarray:
    """Which polygons of a block touch an edge of it that is none of the map."""
    left, top, right, bottom = shapely.bounds(polygons).T
    return (
        ((left == window.col) & (window.col > 0))
        | ((top == window.row) & (window.row > 0))
        | ((right == window.right) & (window.right < width))
        | ((bottom == window.bottom) & (window.bottom < height))
    )


def _without_straight_vertices(polygons: np.ndarray, height: int, width: int) -> np.ndarray:
    """Leave out the vertices on blocks' edges at which no border turns."""
    kind, corners, (ring_ends, polygon_ends) = shapely.to_ragged_array(polygons)
    closing = ring_ends[1:] - 1  # repeats a ring's first vertex
    before, after = np.arange(-1, len(corners) - 1), np.arange(1, len(corners) + 1)
    before[ring_ends[:-1]] = closing - 1
    after[closing - 1] = ring_ends[:-1]
    after[closing] = closing  # left out in any case
    back, ahead = corners - corners[before], corners[after] - corners
    turns = back[:, 0] * ahead[:, 1] != back[:, 1] * ahead[:, 0]
    turns[closing] = turns[ring_ends[:-1]]
    # of two polygons one may go straight on where the other, and a third one, turn
    _, vertex = np.unique(corners, axis=0, return_inverse=True)
    needed = np.zeros(vertex.max() + 1, bool)
    needed[vertex[turns]] = True
    on_edge = (corners % BLOCK == 0).any(axis=1) | (corners == (width, height)).any(axis=1)
    stays = needed[vertex] | ~on_edge
    stays[closing] = False
    ring = np.repeat(np.arange(len(closing)), np.diff(ring_ends))
    counts = np.bincount(ring[stays], minlength=len(closing))
    ends = np.cumsum(counts)
    left = corners[stays]
    closed = np.insert(left, ends, left[ends - counts], axis=0)
    offsets = np.concatenate([[0], np.cumsum(counts + 1)])
    return shapely.from_ragged_array(kind, closed, (offsets, polygon_ends))
