"""How two rasters lie to each other, by their headers: size, place, CRS, overlap, cells.

Vertical parts of a CRS are left out: heights keep their own reference.
"""

import json
import math

import numpy as np
from rasterio._err import CPLE_BaseError  # what warp.transform lets through
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import Affine, from_bounds
from rasterio.warp import transform as transform_points

from mobanet_mmseg.rasters.files import RasterInfo

MAX_EDGE = 1  # pixels per side by which the rasters of one tile may differ: Potsdam's DSMs do
# A file that names its pixels' corners where another names their centres is half a pixel off.
MAX_OFFSET = 0.5
SLACK = 0.01  # pixels: transforms are rounded

Bounds = tuple[float, float, float, float]


def same_size(info: RasterInfo, shape: tuple[int, int]) -> bool:
    """Whether a raster has a size, give or take ``MAX_EDGE`` a side.

    Args:
        info: Header of the raster.
        shape: Height and width, pixels.
    """
    return max(abs(info.height - shape[0]), abs(info.width - shape[1])) <= MAX_EDGE


def check_sizes(info: RasterInfo, reference: RasterInfo) -> None:
    """Refuse two rasters of one tile whose sizes differ by more than ``MAX_EDGE`` a side.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.

    Raises:
        ValueError: If they differ by more.
    """
    if not same_size(info, (reference.height, reference.width)):
        raise ValueError(
            f'{info.path} has {info.height} x {info.width} pixels and {reference.path} '
            f'{reference.height} x {reference.width}; they may differ by {MAX_EDGE} a side: give '
            'the raster of the same tile, or warp it onto the same grid.'
        )


def find_misplacement(info: RasterInfo, reference: RasterInfo) -> str | None:
    """Say in what way two rasters of one tile contradict each other about their place.

    What a raster does not say (a CRS, a transform) is not compared.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.

    Returns:
        What :func:`check_place` refuses; None if they fit, or do not say.
    """
    crs, other = horizontal_crs(info.crs), horizontal_crs(reference.crs)
    if crs is not None and other is not None and crs != other:
        return f'{info.path} is in {crs_name(crs)} and {reference.path} in {crs_name(other)}'
    own, other = (each.gcps or each.rpcs for each in (info, reference))
    if why_unplaced(info) and why_unplaced(reference) and (own == other or not (own and other)):
        return None
    for each, against in ((info, reference), (reference, info)):
        if why_unplaced(each) and (each.gcps or each.rpcs):
            why, _ = why_unplaced(each)
            return f'{each.path} {why}, which cannot be compared with {against.path}'
    for each in (info, reference):
        if not is_invertible(each.transform):
            return _without_size(each)
    offset = max_offset(info, reference)
    if offset is not None and offset > MAX_OFFSET + SLACK:
        return (
            f'{info.path} lies {offset:.4g} pixels beside {reference.path} by their transforms, '
            f'and {MAX_OFFSET} are allowed'
        )
    return None


def check_place(info: RasterInfo, reference: RasterInfo) -> None:
    """Refuse two rasters of one tile that say they lie in different places.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.

    Raises:
        ValueError: If both have a CRS and it differs, or both have a transform and a corner lies
            more than ``MAX_OFFSET`` pixels off.
    """
    found = find_misplacement(info, reference)
    if found:
        raise ValueError(
            f"{found}: give the raster of the same tile, warp it onto the other's grid, or set "
            'check_place=False in the dataset if the pixels fit all the same.'
        )


def on_one_grid(info: RasterInfo, reference: RasterInfo) -> bool:
    """Whether the pixels fit; a raster that does not say where it lies fits by its size.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.
    """
    fits = same_size(info, (reference.height, reference.width))
    return fits and find_misplacement(info, reference) is None


def lies_on(info: RasterInfo, grid: RasterInfo) -> bool:
    """Whether a raster's cells are a grid's, however many, so that they need no resampling.

    Args:
        info: Header of the raster.
        grid: Header of the raster whose grid it is.
    """
    if horizontal_crs(info.crs) != horizontal_crs(grid.crs):
        return False
    cols, rows = np.array([0, grid.width, 0]), np.array([0, 0, grid.height])
    shifts = np.subtract(across_grids(grid, info, cols, rows), (cols, rows))
    return bool((abs(shifts - np.round(shifts[:, :1])) < SLACK).all())


def max_offset(info: RasterInfo, reference: RasterInfo) -> float | None:
    """How far a raster's pixels lie from the same pixels of its reference, at the worst corner.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.

    Returns:
        Pixels of the reference; None if either has no transform.
    """
    if info.transform.is_identity or reference.transform.is_identity:
        return None
    height, width = min(info.height, reference.height), min(info.width, reference.width)
    corners = [(col, row) for col in (0, width) for row in (0, height)]
    return max(
        math.dist(apply(~reference.transform, *apply(info.transform, *corner)), corner)
        for corner in corners
    )


def horizontal_crs(crs: CRS | None) -> CRS | None:
    """The part of a CRS that says where a pixel lies on the map; None if it does not say.

    Args:
        crs: Of a raster's header.
    """
    if not crs:
        return None
    parts = crs.to_dict(projjson=True)
    kind = parts.get('type')
    if kind == 'EngineeringCRS':  # 'LOCAL_CS': a grid of its own, no place
        return None
    if kind == 'CompoundCRS':
        return CRS.from_string(json.dumps(parts['components'][0]))
    return crs


def crs_name(crs: CRS | None) -> str:
    """Name a CRS in a few words.

    Args:
        crs: Of a raster's header.
    """
    if not crs:
        return 'no CRS'
    code = crs.to_epsg()
    return f'EPSG:{code}' if code else crs.to_dict(projjson=True).get('name', 'a custom CRS')


def check_crs(info: RasterInfo, grid: RasterInfo) -> None:
    """Refuse two files of which only one says where on Earth it lies.

    Args:
        info: Header of the raster that is to be warped.
        grid: Header of the raster onto whose grid it goes.

    Raises:
        ValueError: If one has a CRS and the other has none.
    """
    known = [horizontal_crs(each.crs) is not None for each in (info, grid)]
    if known[0] != known[1]:
        has, without = (info, grid) if known[0] else (grid, info)
        raise ValueError(
            f'{without.path} has no CRS and {has.path} has one: write the missing CRS into the '
            'file (rio edit-info --crs, gdal_edit -a_srs).'
        )


def check_overlap(info: RasterInfo, grid: RasterInfo) -> None:
    """Refuse rasters that lie apart, turned ones too.

    Args:
        info: Header of the raster that is to be warped, or the :func:`extent` of vectors.
        grid: Header of the raster onto whose grid it goes.

    Raises:
        ValueError: If the two have no overlap, or the CRS of one cannot be brought to the other's.
    """
    # the grid's edges, as it is the smaller one: a large raster may reach beyond what its CRS says
    edge, ones = np.linspace(0, 1, 21), np.ones(21)
    cols = np.concatenate([edge, ones, edge[::-1], 0 * ones]) * grid.width
    rows = np.concatenate([0 * ones, edge, ones, edge[::-1]]) * grid.height
    cols, rows = across_grids(grid, info, cols, rows)
    if not np.isfinite([cols, rows]).all() or _overlaps(cols, rows, info.height, info.width):
        return
    xs, ys = apply(info.transform, cols, rows)
    boxes = bounds_of(info), (xs.min(), ys.min(), xs.max(), ys.max())
    own, other = (tuple(round(float(value), 3) for value in box) for box in boxes)
    raise ValueError(
        f'{info.path} (left, bottom, right, top = {own}) and {grid.path} ({other}) have no '
        'overlap: give files of one area, or correct the CRS or the transform of one.'
    )


def extent(path: str, crs: CRS | None, bounds: Bounds) -> RasterInfo:
    """Describe where vectors lie, as a raster of one pixel that covers them.

    Args:
        path: Their file.
        crs: Their coordinate reference system.
        bounds: Their left, bottom, right and top, in ``crs``.
    """
    left, bottom, right, top = bounds
    least = 1e-9  # of what has no width or height
    transform = from_bounds(left, bottom, max(right, left + least), max(top, bottom + least), 1, 1)
    return RasterInfo(path, 1, 1, 1, ('uint8',), crs, transform, (None,))


def bounds_of(info: RasterInfo) -> Bounds:
    """Left, bottom, right and top of a raster; its bounding box where it is turned.

    Args:
        info: Header of the raster.
    """
    cols, rows = np.array([0, 1, 0, 1]) * info.width, np.array([0, 0, 1, 1]) * info.height
    xs, ys = apply(info.transform, cols, rows)
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def across_grids(
    info: RasterInfo, other: RasterInfo, cols: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bring columns and rows of one raster to those of another.

    Args:
        info: Header of the raster.
        other: Header of the other one.
        cols: Columns, pixels of the raster.
        rows: Rows, likewise.

    Raises:
        ValueError: If the CRS of one cannot be brought to the other's, or pixels have no size.
    """
    for each in (info, other):
        if not is_invertible(each.transform):
            raise ValueError(f'{_without_size(each)}: correct it (gdal_edit -a_ullr).')
    xs, ys = apply(info.transform, cols, rows)
    crs, other_crs = horizontal_crs(info.crs), horizontal_crs(other.crs)
    if crs != other_crs:
        try:
            xs, ys = map(np.array, transform_points(crs, other_crs, xs, ys))
        except (CRSError, RasterioError, CPLE_BaseError) as error:
            said = str(error).split(' from ')[0]  # PROJ goes on with both as pages of JSON
            raise ValueError(
                f'{info.path} cannot be brought from {crs_name(crs)} to {crs_name(other_crs)} of '
                f'{other.path} ({said}): correct the CRS of one.'
            ) from error
    return apply(~other.transform, xs, ys)


def why_unplaced(info: RasterInfo) -> tuple[str, str] | None:
    """Say why a raster cannot be warped by its place, and what to do; None where it can.

    Args:
        info: Header of the raster.
    """
    if not info.transform.is_identity:
        return None
    if info.gcps:
        why = f'lies by {len(info.gcps)} ground control points that no straight grid fits'
        return why, 'warp it by them (gdalwarp -tps)'
    if info.rpcs is not None:
        return 'lies by rational polynomials (RPCs) alone', 'orthorectify it (gdalwarp -rpc)'
    return 'has no georeference', 'write it into the file (gdal_edit -a_ullr -a_srs)'


def is_invertible(transform: Affine) -> bool:
    """Whether pixels have a size, so that a place says in which of them it lies.

    Args:
        transform: From (col, row) to coordinates.
    """
    return all(map(math.isfinite, transform[:6])) and abs(transform.determinant) > 0


def _without_size(info: RasterInfo) -> str:
    return f'{info.path} states pixels without a size (transform {tuple(info.transform.to_gdal())})'


def apply(
    transform: Affine, x: float | np.ndarray, y: float | np.ndarray
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Transform points; affine's own operator for it depends on its version.

    Args:
        transform: From pixels to coordinates, or back.
        x: Columns, or eastings.
        y: Rows, or northings.
    """
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


def _overlaps(cols: np.ndarray, rows: np.ndarray, height: int, width: int) -> bool:
    """Whether a polygon and a raster, in its own pixels, have an area in common."""
    points = np.stack([cols, rows], axis=1)
    for axis, sign, limit in ((0, 1, 0), (0, -1, width), (1, 1, 0), (1, -1, height)):
        points = _clip(points, sign * (points[:, axis] - limit))
        if len(points) < 3:
            return False
    x, y = points.T
    return abs(np.sum(x * np.roll(y, 1) - y * np.roll(x, 1))) > 0


def _clip(points: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Cut a polygon along a line; ``inside`` is how far each point lies on the side that stays."""
    kept = []
    for index, (point, depth) in enumerate(zip(points, inside, strict=True)):
        before = inside[index - 1]
        if before * depth < 0:
            kept.append(points[index - 1] + (point - points[index - 1]) * before / (before - depth))
        if depth >= 0:
            kept.append(point)
    return np.array(kept).reshape(-1, 2)
