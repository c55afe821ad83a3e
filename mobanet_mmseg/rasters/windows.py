"""Reads rasters by windows: the one way by which training, tests and prediction get their pixels.

Sizes are (height, width) and windows (row, col, height, width), pixels; bands are counted from 1.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioIOError
from rasterio.windows import Window

from mobanet_mmseg.modalities import scale_aux, stack_modalities
from mobanet_mmseg.rasters.files import (
    CACHE_BYTES,
    WINDOW_CACHE_BYTES,
    Handle,
    RasterInfo,
    gdal_settings,
    open_raster,
    read_info,
)
from mobanet_mmseg.rasters.grids import MAX_EDGE, check_sizes, same_size

__all__ = [
    'MAX_EDGE',
    'RasterInfo',
    'check_bands',
    'check_sizes',
    'read_info',
    'read_stack',
    'read_window',
    'read_with_validity',
]

Bands = Sequence[int]
PixelWindow = tuple[int, int, int, int]
Limit = float | Sequence[float]
AuxRange = tuple[Limit, Limit] | tuple[Limit, Limit, bool]  # low, high, whether to clip


def read_window(
    path: str | Path,
    bands: Bands,
    window: PixelWindow | None = None,
    shape: tuple[int, int] | None = None,
    *,
    nodata_to_nan: bool = False,
) -> np.ndarray:
    """Read one window of a raster, and nothing else of it.

    Args:
        path: Any raster that GDAL opens.
        bands: Numbers of the bands, in the order of the result's channels.
        window: Window within ``shape``; None is all of it.
        shape: Size of the tile's reference raster. A raster that is smaller by at most
            ``MAX_EDGE`` a side is continued by its edge, a larger one is cropped. None is the
            raster's own size.
        nodata_to_nan: Whether nodata, masked and infinite values become NaN, in a result of
            float32 or float64.

    Returns:
        (h, w, number of bands) array of the raster's own dtype.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is unreadable, a band or the window lies outside of it, or its
            size differs from ``shape`` by more.
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
    row, col, h, w = window or (0, 0, height, width)
    _check_window((row, col, h, w), info.path, (height, width))
    top, left = min(row, info.height - 1), min(col, info.width - 1)
    bottom, right = min(row + h, info.height), min(col + w, info.width)
    inner = Window(left, top, right - left, bottom - top)
    values = _read(handle, bands, inner)
    if nodata_to_nan:
        valid = _find_valid(handle, bands, inner, values)
        values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        values[~valid] = np.nan
    missing = h - (bottom - top), w - (right - left)
    if any(missing):
        values = np.pad(values, ((0, 0), (0, missing[0]), (0, missing[1])), mode='edge')
    return np.moveaxis(values, 0, -1)


def read_with_validity(
    path: str | Path, bands: Bands, window: PixelWindow
) -> tuple[np.ndarray, np.ndarray]:
    """Read one window of a raster, once, and find where it holds data.

    Args:
        path: Any raster that GDAL opens.
        bands: Numbers of the bands, in the order of the result's channels.
        window: Window of the raster.

    Returns:
        (h, w, number of bands) values, floating ones NaN where a band has no data, and (h, w) bool:
        whether some band is neither nodata nor masked, NaN or infinite.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is unreadable, or a band or the window lies outside of it.
    """
    handle = open_raster(path)
    check_bands(handle.info, bands)
    _check_window(window, handle.info.path, (handle.info.height, handle.info.width))
    row, col, h, w = window
    inner = Window(col, row, w, h)
    values = _read(handle, bands, inner)
    valid = _find_valid(handle, bands, inner, values)
    if np.issubdtype(values.dtype, np.floating):
        values[~valid] = np.nan
    return np.moveaxis(values, 0, -1), valid.any(axis=0)


def read_stack(
    img_path: str | Path,
    aux_path: str | Path | None,
    *,
    img_bands: Bands,
    aux_bands: Bands,
    aux_range: AuxRange | None,
    window: PixelWindow | None = None,
) -> np.ndarray:
    """Read one window of a tile as a stacked sample.

    The auxiliary raster is fitted to the optical one (see ``read_window``); its nodata, NaN and
    infinite values become 0, after the scaling. So do those of an optical raster of floating type,
    whose nodata value may be -3.4e38; an integer one keeps its nodata value.

    Args:
        img_path: Optical raster.
        aux_path: Auxiliary raster on the same grid; None for auxiliary channels of 0.
        img_bands: Bands of the optical raster, in the order of the channels.
        aux_bands: Bands of the auxiliary raster, likewise.
        aux_range: Values that become 0 and 1, in the unit of the raster, each one number or one
            per band, and, if given, whether what lies outside is clipped to 0..1; None leaves the
            values as they are.
        window: Window of the optical raster; None is all of it.

    Returns:
        (h, w, len(img_bands) + len(aux_bands)) float32.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unreadable, or the two do not fit.
    """
    info = read_info(img_path)
    floating = np.issubdtype(info.dtype, np.floating)
    img = read_window(img_path, img_bands, window, nodata_to_nan=floating)
    if aux_path is None:
        return stack_modalities(img, np.zeros((*img.shape[:2], len(aux_bands)), np.float32))
    check_sizes(read_info(aux_path), info)
    shape = (info.height, info.width)
    aux = read_window(aux_path, aux_bands, window, shape, nodata_to_nan=True)
    if aux_range is not None:
        aux = scale_aux(aux, *aux_range)
    return stack_modalities(img, aux)


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
    if info.dtype.startswith('complex'):
        raise ValueError(
            f'{info.path} holds {info.dtype} numbers where real ones are expected: give the '
            'amplitude, in decibels for SAR.'
        )


def _check_window(window: PixelWindow, path: str, shape: tuple[int, int]) -> None:
    row, col, h, w = window
    height, width = shape
    if min(row, col) < 0 or min(h, w) < 1 or row + h > height or col + w > width:
        raise ValueError(
            f'The window (row, col, height, width) = {(row, col, h, w)} leaves {path} of '
            f'{height} x {width} pixels: give one inside.'
        )


def _read(handle: Handle, bands: Bands, window: Window) -> np.ndarray:
    """Read (bands, h, w) values of a window that lies inside the raster."""
    with _reading(handle, window):
        return handle.dataset.read(list(bands), window=window)


def _find_valid(handle: Handle, bands: Bands, window: Window, values: np.ndarray) -> np.ndarray:
    """Where the (bands, h, w) values of a window are data, bool of the same shape."""
    valid = np.isfinite(values)
    for channel, band in enumerate(bands):
        nodata = handle.info.nodata[band - 1]
        if nodata is not None:
            with np.errstate(over='ignore'):  # a nodata of float64 in a raster of float32
                valid[channel] &= values[channel] != nodata
        if handle.masked[band - 1]:
            with _reading(handle, window):
                valid[channel] &= handle.dataset.read_masks(band, window=window) != 0
    return valid


@contextmanager
def _reading(handle: Handle, window: Window) -> Iterator[None]:
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
