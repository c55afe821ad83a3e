"""Reads any raster on the grid of another one, window by window, so that memory is bounded."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import CRSError, RasterioError
from rasterio.transform import Affine, array_bounds
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from mobanet_mmseg.rasters.files import gdal_settings, open_raster
from mobanet_mmseg.rasters.windows import PixelWindow, RasterInfo

TRANSFORM_ERROR = 0.01  # source pixels by which GDAL's quick transformation may be off
SAME_PLACE = 0.01  # pixels

Bounds = tuple[float, float, float, float]


def check_crs(path: str, crs: CRS | None, grid: RasterInfo) -> None:
    """Refuse two files of which only one says where on Earth it lies.

    Args:
        path: The file to be warped.
        crs: Its coordinate reference system.
        grid: Header of the raster onto whose grid it goes.

    Raises:
        ValueError: If one has a CRS and the other has none.
    """
    if (crs is None) != (grid.crs is None):
        without, has = (path, grid.path) if crs is None else (grid.path, path)
        raise ValueError(
            f'{without} has no CRS and {has} has one: write the missing CRS into the file (rio '
            'edit-info --crs, gdal_edit -a_srs).'
        )


def check_overlap(path: str, crs: CRS | None, bounds: Bounds, grid: RasterInfo) -> None:
    """Refuse a file that lies elsewhere.

    Args:
        path: The file to be warped.
        crs: Its coordinate reference system.
        bounds: Its left, bottom, right and top, in ``crs``.
        grid: Header of the raster onto whose grid it goes.

    Raises:
        ValueError: If the two have no overlap.
    """
    own = bounds
    if crs is not None and crs != grid.crs:
        try:
            own = transform_bounds(crs, grid.crs, *bounds)
        except (CRSError, RasterioError) as error:
            raise ValueError(
                f'{path} cannot be brought from {crs} to {grid.crs} ({error}): correct its CRS.'
            ) from error
    other = bounds_of(grid)
    if not (own[0] < other[2] and own[2] > other[0] and own[1] < other[3] and own[3] > other[1]):
        shown, expected = (tuple(round(float(value), 3) for value in box) for box in (own, other))
        raise ValueError(
            f'{path} (left, bottom, right, top = {shown}) and {grid.path} ({expected}) have no '
            'overlap: give files of one area, or correct the CRS of one.'
        )


def check_no_alpha(info: RasterInfo, bands: Sequence[int]) -> None:
    """Refuse bands of values that GDAL would take for transparency.

    Args:
        info: Header of the raster that is to be warped.
        bands: Numbers of the bands that are asked for, counted from 1.

    Raises:
        ValueError: If the raster marks one of them as alpha.
    """
    marked = {*bands} & alpha_bands(info)
    if marked:
        raise ValueError(
            f'{info.path} marks the band {min(marked)} as alpha, and GDAL warps it as such: clear '
            'the mark (gdal_edit -colorinterp_N undefined), or leave the band out of the auxiliary '
            'bands.'
        )


def alpha_bands(info: RasterInfo) -> set[int]:
    """Name the bands that a raster marks as alpha.

    Args:
        info: Header of the raster.
    """
    meanings = open_raster(info.path).dataset.colorinterp
    return {band for band, meaning in enumerate(meanings, 1) if meaning == ColorInterp.alpha}


def bounds_of(info: RasterInfo) -> Bounds:
    """Left, bottom, right and top of a raster; its bounding box where it is turned.

    Args:
        info: Header of the raster.
    """
    left, bottom, right, top = array_bounds(info.height, info.width, info.transform)
    return min(left, right), min(bottom, top), max(left, right), max(bottom, top)


def lies_on(info: RasterInfo, grid: RasterInfo) -> bool:
    """Whether a raster's cells are the grid's, so that they are copied and not resampled.

    Args:
        info: Header of the raster.
        grid: Header of the raster whose grid it is.
    """
    if info.crs != grid.crs:
        return False
    shifts = []
    for corner in ((0, 0), (grid.width, 0), (0, grid.height)):
        place = apply(~info.transform, *apply(grid.transform, *corner))
        shifts.append(np.subtract(place, corner))
    return bool((abs(shifts - np.round(shifts[0])) < SAME_PLACE).all())


def apply(transform: Affine, x: float, y: float) -> tuple[float, float]:
    """Transform one point; affine's own operator for it depends on its version.

    Args:
        transform: From pixels to coordinates, or back.
        x: Column, or easting.
        y: Row, or northing.
    """
    a, b, c, d, e, f = transform[:6]
    return a * x + b * y + c, d * x + e * y + f


@contextmanager
def warped(
    info: RasterInfo, grid: RasterInfo, resampling: Resampling, **options: Any
) -> Iterator[WarpedVRT]:
    """Open a raster as if it lay on another one's grid; nothing is read yet.

    Args:
        info: Header of the raster.
        grid: Header of the raster onto whose grid it goes.
        resampling: How its cells become the grid's.
        **options: More options of rasterio's WarpedVRT.
    """
    with (
        gdal_settings(),
        rasterio.open(info.path) as source,
        WarpedVRT(source, **grid_options(grid), resampling=resampling, **options) as vrt,
    ):
        yield vrt


def warped_values(
    info: RasterInfo, grid: RasterInfo, resampling: Resampling
) -> AbstractContextManager[WarpedVRT]:
    """Open a raster of measured values; what reads as NaN is nodata or outside of it.

    Args:
        info: Header of the raster.
        grid: Header of the raster onto whose grid it goes.
        resampling: How its cells become the grid's, where they are not the same ones.
    """
    return warped(info, grid, **value_options(info, grid, resampling))


def value_options(info: RasterInfo, grid: RasterInfo, resampling: Resampling) -> dict[str, Any]:
    """Say how a raster of measured values is warped; where it has none becomes NaN.

    Args:
        info: Header of the raster.
        grid: Header of the raster onto whose grid it goes.
        resampling: How its cells become the grid's, where they are not the same ones.

    Returns:
        Options of rasterio's WarpedVRT besides the grid's.
    """
    if lies_on(info, grid):
        resampling = Resampling.nearest
    options = {'resampling': resampling, 'nodata': np.nan, 'dtype': str(float_type(info))}
    if np.issubdtype(info.dtype, np.floating) and info.nodata[0] is None:
        options['src_nodata'] = np.nan
    # else nodata of one band counts as a value where another band has one
    return {**options, 'UNIFIED_SRC_NODATA': 'PARTIAL'}


def grid_options(grid: RasterInfo) -> dict[str, Any]:
    """Say onto which grid a raster is warped.

    Args:
        grid: Header of the raster whose grid it is.

    Returns:
        Options of rasterio's WarpedVRT.
    """
    return {
        'crs': grid.crs,
        'transform': grid.transform,
        'height': grid.height,
        'width': grid.width,
        'tolerance': TRANSFORM_ERROR,
    }


def float_type(info: RasterInfo) -> np.dtype:
    """The floating type that holds a raster's values.

    Args:
        info: Header of the raster.
    """
    return np.result_type(np.dtype(info.dtype), np.float32)


def read_warped(vrt: WarpedVRT, bands: Sequence[int], window: PixelWindow) -> np.ndarray:
    """Read (number of bands, h, w) values of a window of the grid.

    Args:
        vrt: A raster, warped.
        bands: Numbers of the bands, counted from 1.
        window: (row, col, height, width), pixels.

    Raises:
        ValueError: If the file is damaged there.
    """
    row, col, height, width = window
    try:
        with gdal_settings():
            return vrt.read(list(bands), window=Window(col, row, width, height))
    except RasterioError as error:
        raise ValueError(
            f'{vrt.src_dataset.name} is damaged (GDAL says: {error.__cause__ or error}): copy or '
            'download it again.'
        ) from error
