"""Reads rasters by windows: the one way by which training, tests and prediction get their pixels.

Bands are counted from 1.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from mobanet_mmseg.modalities import Limit, Scaling, scale_aux, stack_modalities
from mobanet_mmseg.rasters.files import (
    CACHE_BYTES,
    WINDOW_CACHE_BYTES,
    Handle,
    RasterInfo,
    gdal_settings,
    info_of,
    open_raster,
    read_info,
)
from mobanet_mmseg.rasters.grids import MAX_EDGE, check_sizes, same_size
from mobanet_mmseg.tiling.windows import Window

CHUNK_BYTES = 16_000_000  # of a raster that is read from the top to the bottom

# no measured value is beyond it; fills are 1e20 (climate models), 1e37 (netCDF), 3.4e38 (GDAL)
FILL = 1e18

Bands = Sequence[int]

_told: set[str] = set()  # rasters that hold fills, said once by each process


def chunks(info: RasterInfo, multiple: int = 1) -> Iterator[Window]:
    """Walk over a raster: windows of all columns, from the top, within ``CHUNK_BYTES`` each.

    Args:
        info: Header of the raster.
        multiple: All but the last have a multiple of so many rows, at least one; whole rows of
            the file's blocks besides, where these are low enough.
    """
    row_bytes = info.width * sum(max(4, np.dtype(dtype).itemsize) for dtype in info.dtypes)
    most = max(1, CHUNK_BYTES // row_bytes)
    block, _ = open_raster(info.path).dataset.block_shapes[0]
    unit = math.lcm(multiple, block)
    if unit > most:
        unit = multiple
    step = max(unit, most // unit * unit)
    for row in range(0, info.height, step):
        yield Window(row, 0, min(step, info.height - row), info.width)


def read_window(
    path: str | Path,
    bands: Bands,
    window: Window | None = None,
    shape: tuple[int, int] | None = None,
    *,
    nodata_to_nan: bool = False,
    measured: bool = False,
) -> np.ndarray:
    """Read one window of a raster, and nothing else of it.

    Args:
        path: Any raster that GDAL opens.
        bands: Numbers of the bands, in the order of the result's channels.
        window: Window within ``shape``; None is all of it.
        shape: Size of the tile's reference raster. A raster that is smaller by at most
            ``MAX_EDGE`` a side is continued by its edge, a larger one is cropped. None is the
            raster's own size.
        nodata_to_nan: Whether what is not valid (see :func:`read_with_validity`) becomes NaN, in
            a result of float32 or float64.
        measured: Whether values are, besides, in the unit that a scale and an offset of the file
            state, not as they are stored.

    Returns:
        (h, w, number of bands) array of the type that holds the values of these bands.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is unreadable, a band or the window lies outside of it, or its
            size differs from ``shape`` by more.
    """
    handle, inner, missing = _open_window(path, bands, window, shape)
    values = _read(handle, bands, inner)
    if nodata_to_nan or measured:
        valid = _find_valid(handle, bands, inner, values)
        values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        values[~valid] = np.nan
    if measured:
        values = handle.info.to_unit(values, bands)
    return np.moveaxis(_continued(values, missing), 0, -1)


def read_with_validity(
    path: str | Path,
    bands: Bands,
    window: Window | None = None,
    shape: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Read one window of a raster, once, and find where it holds data.

    A band holds data where its value is finite, within ``FILL`` and not its nodata value, the mask
    of the file, inside or beside it, does not leave the pixel out, and no alpha band is 0 there, be
    it of any type and place, unless that band is asked for as a band like others.

    Args:
        path: Any raster that GDAL opens.
        bands: Numbers of the bands, in the order of the result's channels.
        window: See :func:`read_window`.
        shape: See :func:`read_window`.

    Returns:
        (h, w, number of bands) values, floating ones NaN where a band has no data, and (h, w) bool:
        whether some band has.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: See :func:`read_window`.
    """
    handle, inner, missing = _open_window(path, bands, window, shape)
    values = _read(handle, bands, inner)
    valid = _find_valid(handle, bands, inner, values)
    if np.issubdtype(values.dtype, np.floating):
        values[~valid] = np.nan
    return (
        np.moveaxis(_continued(values, missing), 0, -1),
        _continued(valid.any(axis=0), missing),
    )


def read_open(dataset: DatasetReader, bands: Bands) -> np.ma.MaskedArray:
    """Read an open raster whole.

    Args:
        dataset: The raster, warped or in memory too.
        bands: Numbers of the bands, in the order of the result's channels.

    Returns:
        (H, W, number of bands), masked where a band has no data; see :func:`read_with_validity`.

    Raises:
        ValueError: If it lacks a band, or is damaged.
    """
    handle = Handle(dataset, info_of(dataset, dataset.name))
    check_bands(handle.info, bands)
    window = RasterioWindow(0, 0, dataset.width, dataset.height)
    values = _read(handle, bands, window)
    masked = ~_find_valid(handle, bands, window, values)
    return np.ma.masked_array(np.moveaxis(values, 0, -1), np.moveaxis(masked, 0, -1))


def read_mask(
    path: str | Path,
    bands: Bands,
    window: Window | None = None,
    shape: tuple[int, int] | None = None,
) -> np.ndarray:
    """Read where the mask and the alpha bands of a raster say that it holds data.

    Args:
        path: Any raster that GDAL opens.
        bands: Numbers of the bands that are asked for; an alpha band among them says nothing.
        window: See :func:`read_window`.
        shape: See :func:`read_window`.

    Returns:
        (h, w) bool.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: See :func:`read_window`.
    """
    handle, inner, missing = _open_window(path, bands, window, shape)
    return _continued(_find_mask(handle, bands, inner), missing)


def read_stack(
    img_path: str | Path,
    aux_path: str | Path | None,
    *,
    img_bands: Bands,
    aux_bands: Bands,
    aux_range: Scaling | None,
    aux_fill: Limit = 0.0,
    window: Window | None = None,
) -> np.ndarray:
    """Read one window of a tile as a stacked sample.

    The auxiliary raster is fitted to the optical one (see ``read_window``); its nodata, NaN and
    infinite values become ``aux_fill``, after the scaling. Those of an optical raster of floating
    type, whose nodata value may be -3.4e38, become 0; an integer one keeps its nodata value.

    A scale and an offset that the auxiliary file states are applied, as ``aux_range`` is in its
    unit. Those of the optical file are not: the mean and the standard deviation that a config
    normalises it by, and what encoders are trained on, are of the numbers that are stored, 0..255
    as a rule.

    Args:
        img_path: Optical raster.
        aux_path: Auxiliary raster on the same grid; None for auxiliary channels of ``aux_fill``.
        img_bands: Bands of the optical raster, in the order of the channels.
        aux_bands: Bands of the auxiliary raster, likewise; none for the optical image alone.
        aux_range: How the auxiliary values are scaled; None leaves them as they are.
        aux_fill: What they are, scaled, where there are none; one number, or one per channel.
        window: Window of the optical raster; None is all of it.

    Returns:
        (h, w, len(img_bands) + len(aux_bands)) float32.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unreadable, or the two do not fit.
    """
    info = read_info(img_path)
    check_bands(info, img_bands)
    floating = np.issubdtype(info.dtype_of(img_bands), np.floating)
    img = read_window(img_path, img_bands, window, nodata_to_nan=floating)
    if aux_path is None or not aux_bands:
        absent = np.full((*img.shape[:2], len(aux_bands)), aux_fill, np.float32)
        return stack_modalities(img, absent)
    check_sizes(read_info(aux_path), info)
    shape = (info.height, info.width)
    aux = read_window(aux_path, aux_bands, window, shape, measured=True)
    if aux_range is not None:
        aux = scale_aux(aux, *aux_range, fill=aux_fill)
    return stack_modalities(img, aux, aux_fill)


def check_bands(info: RasterInfo, bands: Bands) -> None:
    """Refuse bands that a raster does not have.

    Args:
        info: The raster's header.
        bands: Numbers of the bands, counted from 1.

    Raises:
        ValueError: If there is none, or the raster lacks one, or holds complex numbers.
    """
    if not bands or min(bands) < 1 or max(bands) > info.count:
        raise ValueError(
            f'{info.path} has {info.count} band(s), but {tuple(bands)} are asked for: state bands '
            'that it has, counted from 1 (img_bands and aux_bands of the dataset), or give the '
            'right file.'
        )
    dtype = info.dtype_of(bands)
    if dtype.startswith('complex'):
        raise ValueError(
            f'{info.path} holds {dtype} numbers where real ones are expected: give the '
            'amplitude, in decibels for SAR.'
        )


def _open_window(
    path: str | Path, bands: Bands, window: Window | None, shape: tuple[int, int] | None
) -> tuple[Handle, RasterioWindow, tuple[int, int]]:
    """Find the part of a window that lies inside the raster, and how many rows and columns do not.

    What does not is at most an edge, by which the raster is smaller than the shape.
    """
    handle = open_raster(path)
    info = handle.info
    check_bands(info, bands)
    height, width = shape or (info.height, info.width)
    if not same_size(info, (height, width)):
        raise ValueError(
            f'{info.path} has {info.height} x {info.width} pixels, but {height} x {width} are '
            f'expected, at most {MAX_EDGE} more or less a side: give the raster of the same tile.'
        )
    window = Window(*(window or (0, 0, height, width)))
    inside = window.row >= 0 and window.col >= 0 and min(window.height, window.width) >= 1
    if not inside or window.bottom > height or window.right > width:
        raise ValueError(
            f'The window (row, col, height, width) = {tuple(window)} leaves {info.path} of '
            f'{height} x {width} pixels: give one inside.'
        )
    top, left = min(window.row, info.height - 1), min(window.col, info.width - 1)
    bottom, right = min(window.bottom, info.height), min(window.right, info.width)
    inner = RasterioWindow(left, top, right - left, bottom - top)
    return handle, inner, (window.height - inner.height, window.width - inner.width)


def _continued(pixels: np.ndarray, missing: tuple[int, int]) -> np.ndarray:
    """Continue (..., h, w) pixels by their edge."""
    if not any(missing):
        return pixels
    widths = [(0, 0)] * (pixels.ndim - 2) + [(0, count) for count in missing]
    return np.pad(pixels, widths, mode='edge')


def _read(handle: Handle, bands: Bands, window: RasterioWindow) -> np.ndarray:
    """Read (bands, h, w) values of a window that lies inside the raster."""
    with _reading(handle, window):
        if len({handle.info.dtypes[band - 1] for band in bands}) == 1:
            return handle.dataset.read(list(bands), window=window)
        return np.stack([handle.dataset.read(band, window=window) for band in bands])


def _find_valid(
    handle: Handle, bands: Bands, window: RasterioWindow, values: np.ndarray
) -> np.ndarray:
    """Where the (bands, h, w) values of a window are data, bool of the same shape."""
    valid = np.isfinite(values)
    for channel, band in enumerate(bands):
        nodata = handle.info.nodata[band - 1]
        if nodata is not None:
            with np.errstate(over='ignore'):  # a nodata of float64 in a raster of float32
                valid[channel] &= values[channel] != nodata
    valid &= ~find_fills(values, valid, handle.info.path)
    if handle.masked or handle.info.alpha:
        valid &= _find_mask(handle, bands, window)
    return valid


def find_fills(values: np.ndarray, valid: np.ndarray, path: str, limit: float = FILL) -> np.ndarray:
    """Find floating values that are beyond any scale: no data that the file does not declare.

    Left in, one would be the range of its raster, and fill the whole window with infinite numbers.

    Args:
        values: Of any type.
        valid: Where they are data, as far as it is known; of the same shape.
        path: The raster, which is named once where there are some.
        limit: The least of them.

    Returns:
        bool of the same shape.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return np.zeros(values.shape, bool)
    fills = (np.abs(values) >= limit) & valid
    if path not in _told and fills.any():
        _told.add(path)
        print_log(
            f'{path} holds {values[fills][0]:.6g}, which is taken for no data though it is not '
            'declared: declare it (gdal_edit -a_nodata).',
            logger='current',
            level=logging.WARNING,
        )
    return fills


def _find_mask(handle: Handle, bands: Bands, window: RasterioWindow) -> np.ndarray:
    """Where the mask and the alpha bands that are not asked for leave a window's pixels, (h, w)."""
    valid = np.ones((window.height, window.width), bool)
    if handle.masked:
        with _reading(handle, window):
            valid &= handle.dataset.read_masks(1, window=window) != 0
    for band in handle.info.alpha:
        if band not in bands:
            valid &= _read(handle, [band], window)[0] > 0  # a half transparent pixel is one
    return valid


@contextmanager
def _reading(handle: Handle, window: RasterioWindow) -> Iterator[None]:
    """Turn what GDAL says of a damaged file into a sentence that names it."""
    cut = window.width < handle.info.width
    try:
        with gdal_settings(cache_bytes=WINDOW_CACHE_BYTES if cut else CACHE_BYTES):
            yield
    except RasterioIOError as error:
        raise ValueError(
            f'{handle.info.path} is damaged at {window} (GDAL says: {error.__cause__ or error}): '
            'copy or download it again.'
        ) from error
