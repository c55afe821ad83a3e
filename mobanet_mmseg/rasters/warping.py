"""Reads any raster on the grid of another one, window by window, so that memory is bounded."""

from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as RasterioWindow

from mobanet_mmseg.rasters.files import Handle, RasterInfo, gdal_settings, open_raster
from mobanet_mmseg.rasters.grids import (
    across_grids,
    check_crs,
    check_overlap,
    crs_name,
    horizontal_crs,
    lies_on,
)
from mobanet_mmseg.rasters.windows import FILL, find_fills
from mobanet_mmseg.tiling.windows import Window

CELL = (128, 512)  # pixels that are warped at a time: GDAL's own block of a warped raster
MAX_SOURCE = 1 << 22  # source pixels that one cell may need, so that memory is bounded
BLENDED_FILL = FILL / 1e6  # the neighbours of a fill have a share of it
TRANSFORM_ERROR = 0.01  # source pixels by which GDAL's quick transformation may be off


class WarpedRaster:
    """A raster as if it lay on another one's grid.

    GDAL's kernel is widened where the raster is finer than the grid, so that all of its cells
    count. It is warped in cells of a fixed place and by one scale, so that a pixel does not depend
    on the window that is asked for.

    Opened by the thread that reads first, and read by that one alone.

    Args:
        info: Header of the raster.
        grid: Header of the raster onto whose grid it goes.
        bands: Bands that are read, counted from 1.
        options: Options of rasterio's WarpedVRT besides the grid's, ``dtype`` among them; for
            measured values see :func:`warped_values`.

    Raises:
        ValueError: If only one of the two has a CRS, or it cannot be brought to the other's, or
            they have no overlap.
    """

    def __init__(
        self, info: RasterInfo, grid: RasterInfo, bands: Sequence[int], options: Mapping[str, Any]
    ) -> None:
        check_crs(info, grid)
        check_overlap(info, grid)
        self.info, self.grid, self.bands = info, grid, tuple(bands)
        across, down = _source_pixels(info, grid)
        self.cell = _cell(across * down)
        self._options = {
            **grid_options(grid),
            **options,
            'src_crs': horizontal_crs(info.crs),
            **({'src_transform': info.transform} if info.gcps else {}),
            'XSCALE': f'{1 / across}',  # else each cell finds its own, at the raster's edge another
            'YSCALE': f'{1 / down}',
        }
        self._path = info.path
        self._asked = self.bands
        self._measured = 'add_alpha' not in options
        handle = open_raster(info.path)
        varied = len({*info.dtypes}) > 1 or len({*map(repr, info.nodata)}) > 1
        if self._measured and (handle.masked or info.alpha or varied):
            self._path, self.bands = _masked(handle, bands), tuple(range(1, len(bands) + 1))
        self._source: DatasetReader | None = None
        self._vrt: WarpedVRT | None = None

    def __enter__(self) -> 'WarpedRaster':
        """Open nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def read(self, window: Window) -> np.ndarray:
        """Read (h, w, number of bands) values of a window of the grid, measured ones in their unit.

        Args:
            window: Window of the grid; one of whole cells is read once, others share theirs.

        Raises:
            ValueError: If the file is damaged there.
        """
        height, width = self.cell
        shape = (len(self.bands), window.height, window.width)
        values = np.empty(shape, self._options['dtype'])
        for row in range(window.row - window.row % height, window.bottom, height):
            for col in range(window.col - window.col % width, window.right, width):
                self._read_cell(row, col, window, values)
        if self._measured:
            fills = find_fills(values, np.isfinite(values), self.info.path, BLENDED_FILL)
            values[fills] = np.nan
            values = self.info.to_unit(values, self._asked)
        return np.moveaxis(values, 0, -1)

    def close(self) -> None:
        """Close the file; the next reading opens it again."""
        for dataset in (self._vrt, self._source):
            if dataset is not None:
                dataset.close()
        self._vrt = self._source = None

    def _read_cell(self, row: int, col: int, window: Window, values: np.ndarray) -> None:
        """Put what a cell has of a window into its values, (number of bands, h, w)."""
        bottom = min(row + self.cell[0], self.grid.height)
        right = min(col + self.cell[1], self.grid.width)
        cell = self._warp(Window(row, col, bottom - row, right - col))
        top, left = max(row, window.row), max(col, window.col)
        bottom, right = min(bottom, window.bottom), min(right, window.right)
        part = cell[:, top - row : bottom - row, left - col : right - col]
        rows = slice(top - window.row, bottom - window.row)
        values[:, rows, left - window.col : right - window.col] = part

    def _warp(self, window: Window) -> np.ndarray:
        with gdal_settings():
            if self._source is None:
                self._source = rasterio.open(self._path)
                self._vrt = WarpedVRT(self._source, **self._options)
            if self.cell == CELL:
                return self._read_vrt(self._vrt, window)
            # GDAL warps whole blocks of its own size: a raster of the cell's size has none larger
            cell = grid_options(self.grid.crop(window))
            with WarpedVRT(self._source, **{**self._options, **cell}) as vrt:
                return self._read_vrt(vrt, Window(0, 0, window.height, window.width))

    def _read_vrt(self, vrt: WarpedVRT, window: Window) -> np.ndarray:
        where = RasterioWindow(window.col, window.row, window.width, window.height)
        try:
            return vrt.read(list(self.bands), window=where)
        except RasterioError as error:
            raise ValueError(
                f'{self.info.path} is damaged (GDAL says: {error.__cause__ or error}): copy or '
                'download it again.'
            ) from error


def warped_values(
    info: RasterInfo,
    grid: RasterInfo,
    bands: Sequence[int],
    resampling: Resampling = Resampling.bilinear,
) -> WarpedRaster:
    """Open a raster of measured values on another one's grid: the way of training and prediction.

    Where it has no data is NaN. Where its cells are the grid's they are copied.

    Args:
        info: Header of the raster.
        grid: Header of the raster onto whose grid it goes.
        bands: Bands that are read, counted from 1.
        resampling: How its cells become the grid's.

    Raises:
        ValueError: See :class:`WarpedRaster`; or if the raster marks one of the bands as alpha.
    """
    marked = {*bands} & {*info.alpha}
    if marked:
        raise ValueError(
            f'{info.path} marks the band {min(marked)} as alpha, and GDAL warps it as such: clear '
            'the mark (gdal_edit -colorinterp_N undefined), or leave the band out of the auxiliary '
            'bands.'
        )
    if lies_on(info, grid):
        resampling = Resampling.nearest
    dtype = str(float_type(info, bands))
    # PARTIAL: else nodata of one band counts as a value where another band has one
    options = {'dtype': dtype, 'nodata': np.nan, 'UNIFIED_SRC_NODATA': 'PARTIAL'}
    if np.issubdtype(info.dtype_of(bands), np.floating) and info.nodata[bands[0] - 1] is None:
        options['src_nodata'] = np.nan
    return WarpedRaster(info, grid, bands, {**options, 'resampling': resampling})


def grid_options(grid: RasterInfo) -> dict[str, Any]:
    """Say onto which grid a raster is warped.

    Args:
        grid: Header of the raster whose grid it is.

    Returns:
        Options of rasterio's WarpedVRT.
    """
    return {
        'crs': horizontal_crs(grid.crs),
        'transform': grid.transform,
        'height': grid.height,
        'width': grid.width,
        'tolerance': TRANSFORM_ERROR,
    }


def float_type(info: RasterInfo, bands: Sequence[int]) -> np.dtype:
    """The floating type that holds a raster's values.

    Args:
        info: Header of the raster.
        bands: Numbers of the bands that are read, counted from 1.
    """
    return np.result_type(np.dtype(info.dtype_of(bands)), np.float32)


def _source_pixels(info: RasterInfo, grid: RasterInfo) -> tuple[float, float]:
    """Columns and rows of a raster that a pixel in the grid's middle spans."""
    cols = grid.width / 2 + np.array([0, 1, 0])  # there, a column on, a row on
    rows = grid.height / 2 + np.array([0, 0, 1])
    cols, rows = across_grids(grid, info, cols, rows)
    if not np.isfinite([cols, rows]).all():
        raise ValueError(
            f'The middle of {grid.path} lies where {crs_name(info.crs)} of {info.path} has no '
            'coordinates: correct the CRS or the transform of one.'
        )
    return tuple(float(np.hypot(*(axis[1:] - axis[0]))) for axis in (cols, rows))


def _cell(source_pixels: float) -> tuple[int, int]:
    """Rows and columns that are warped at a time, by the source pixels that each needs."""
    rows, cols = CELL
    while rows * cols * source_pixels > MAX_SOURCE and rows > 1:
        rows, cols = rows // 2, cols // 2
    return rows, cols


def _masked(handle: Handle, bands: Sequence[int]) -> str:
    """Describe a raster whose values are NaN where its nodata, mask or alpha leave them out.

    GDAL warps by one of these alone, by the first band's nodata value and type, and takes a half
    transparent pixel for none. So there is a virtual raster around the file for its nodata, and one
    around that for each mask.
    """
    info = handle.info
    nodata = (info.nodata[band - 1] for band in bands)
    inner = ['' if value is None else f'<NODATA>{value!r}</NODATA>' for value in nodata]
    masks = [f'<SourceBand>mask,{bands[0]}</SourceBand>'] if handle.masked else []
    masks += [
        f'<SourceBand>{band}</SourceBand><LUT>0:0,1e-30:255</LUT>' for band in info.alpha
    ]  # all above 0 is 255
    source, dtype = info.path, float_type(info, bands)
    for mask in masks:
        mask = (
            '<MaskBand><VRTRasterBand dataType="Byte"><ComplexSource><SourceFilename>'
            f'{escape(info.path)}</SourceFilename>{mask}</ComplexSource></VRTRasterBand></MaskBand>'
        )
        source = _virtual(source, info, bands, dtype, inner, mask)
        bands, inner = range(1, len(bands) + 1), ['<UseMaskBand>true</UseMaskBand>'] * len(bands)
    return _virtual(source, info, bands, dtype, inner)


def _virtual(
    source: str,
    info: RasterInfo,
    bands: Sequence[int],
    dtype: np.dtype,
    inner: Sequence[str],
    mask: str = '',
) -> str:
    """Describe a virtual raster of floating values."""
    kind = dtype.name.capitalize()
    shown = ''.join(
        f'<VRTRasterBand dataType="{kind}"><NoDataValue>nan</NoDataValue><ComplexSource>'
        f'<SourceFilename>{escape(source)}</SourceFilename><SourceBand>{band}</SourceBand>{more}'
        '</ComplexSource></VRTRasterBand>'
        for band, more in zip(bands, inner, strict=True)
    )
    transform = ', '.join(map(str, info.transform.to_gdal()))
    return (
        f'<VRTDataset rasterXSize="{info.width}" rasterYSize="{info.height}">'
        f'<GeoTransform>{transform}</GeoTransform>{shown}{mask}</VRTDataset>'
    )
