"""An auxiliary raster on any grid, read by rows of the optical raster's grid."""

from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.dist import is_main_process
from rasterio.enums import Resampling
from rich.console import Console
from rich.progress import track

from mobanet_mmseg.rasters.grids import check_crs, check_overlap
from mobanet_mmseg.rasters.percentiles import find_percentiles
from mobanet_mmseg.rasters.ranges import (
    AuxStatistics,
    Percentiles,
    aux_ranges,
    checked_range,
    is_percentile,
)
from mobanet_mmseg.rasters.warping import (
    WarpedRaster,
    check_no_alpha,
    value_options,
)
from mobanet_mmseg.rasters.windows import AuxRange, RasterInfo, check_bands
from mobanet_mmseg.tiling.windows import Window

QUICK = 25_000_000  # pixels whose range is found within seconds


class WarpedRows:
    """Rows of an auxiliary raster, warped as the conversion of such pairs warps it.

    Bilinear, or copied where its cells are the grid's.

    Opened by the thread that reads first, and read by that one alone.

    Args:
        aux: Header of the auxiliary raster.
        grid: Header of the optical raster.
        bands: Bands of the auxiliary raster, counted from 1.

    Raises:
        ValueError: If a band is missing, or the headers do not say where the rasters lie, or say
            that they lie apart.
    """

    def __init__(self, aux: RasterInfo, grid: RasterInfo, bands: Sequence[int]) -> None:
        check_bands(aux, bands)
        _check_georeference(aux, grid)
        check_crs(aux, grid)
        check_overlap(aux, grid)
        check_no_alpha(aux, bands)
        self.aux, self.grid, self.bands = aux, grid, tuple(bands)
        options = value_options(aux, grid, Resampling.bilinear)
        self._raster = WarpedRaster(aux, grid, bands, options)
        self.step = self._raster.cell[0]
        self.close = self._raster.close

    def read(self, first: int, last: int, columns: tuple[int, int] | None = None) -> np.ndarray:
        """Read rows; NaN is nodata or outside of the raster.

        Args:
            first: First row, a multiple of ``step``.
            last: Row after the last one, ``step`` rows later or the end.
            columns: First column and the one after the last; None is all.

        Returns:
            (h, W, number of bands) float32 or float64.

        Raises:
            ValueError: If the file is damaged there.
        """
        start, stop = columns or (0, self.grid.width)
        values = self._raster.read(Window(first, start, last - first, stop - start))
        values[~np.isfinite(values)] = np.nan
        return values

    def find_range(self, aux_range: str | Percentiles | AuxRange | None) -> AuxRange | None:
        """Say which values become 0 and 1; ranges of its own are those on the optical's grid.

        Args:
            aux_range: As :func:`~mobanet_mmseg.rasters.ranges.aux_ranges` takes it.

        Raises:
            ValueError: If ``aux_range`` is none of these, or the raster has no range.
        """
        if aux_range == 'tile':
            return tuple(self._extremes())
        if is_percentile(aux_range):
            return (*self._percentiles(aux_range[1:]), True)
        return aux_ranges([self.aux.path], self.bands, aux_range)[0]

    def _extremes(self) -> AuxStatistics:
        low = np.full(len(self.bands), np.nan)
        high = low.copy()
        for values in self._chunks():
            low = np.fmin(low, np.fmin.reduce(values, axis=(0, 1)))
            high = np.fmax(high, np.fmax.reduce(values, axis=(0, 1)))
        low, high = ([None if np.isnan(v) else float(v) for v in limit] for limit in (low, high))
        return checked_range(self._name(), self.bands, low, high)

    def _percentiles(self, percentages: Sequence[float]) -> AuxStatistics:
        found = find_percentiles(self._chunks, len(self.bands), percentages)
        low, high = (found[percentage] for percentage in percentages)
        return checked_range(self._name(), self.bands, low, high, percentages)

    def _name(self) -> str:
        return f'{self.aux.path} on the grid of {self.grid.path}'

    def _chunks(self) -> Iterator[np.ndarray]:
        quiet = self.grid.height * self.grid.width < QUICK or not is_main_process()
        rows = range(0, self.grid.height, self.step)
        console = Console(stderr=True)
        name = 'Range of the auxiliary raster'
        for first in track(rows, name, console=console, disable=quiet):
            yield self.read(first, min(first + self.step, self.grid.height))


def _check_georeference(aux: RasterInfo, grid: RasterInfo) -> None:
    for info in (aux, grid):
        if info.transform.is_identity:
            raise ValueError(
                f'{aux.path} ({aux.height} x {aux.width} pixels) does not lie on the grid of '
                f'{grid.path} ({grid.height} x {grid.width}), and {info.path} has no georeference '
                'to warp by: write it into the file (gdal_edit -a_ullr -a_srs), or give the '
                'raster of the same tile.'
            )
