"""Reads a pair of rasters by rows as stacked samples, so that a raster of any size is predicted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from mobanet_mmseg.inference.warped_rows import WarpedRows
from mobanet_mmseg.modalities import scale_aux
from mobanet_mmseg.rasters.files import open_raster
from mobanet_mmseg.rasters.grids import on_one_grid
from mobanet_mmseg.rasters.ranges import Percentiles, aux_ranges
from mobanet_mmseg.rasters.windows import (
    AuxRange,
    RasterInfo,
    check_bands,
    read_info,
    read_window,
    read_with_validity,
)

ROWS = 128  # rows that are read at a time, or one row of higher blocks


class PairReader(AbstractContextManager):
    """Rows of an optical and an auxiliary raster, stacked, on the optical one's grid.

    Where both lie on one grid the rows are those of
    :func:`~mobanet_mmseg.rasters.windows.read_stack`, which training reads by. Otherwise the
    auxiliary raster is warped while it is read, and is 0 after the scaling outside of it.

    Opened in any thread, which finds what does not fit; read in one other; closed after that.

    Args:
        img_path: Optical raster.
        aux_path: Auxiliary raster on any grid; None for channels of 0.
        img_bands: Bands of the optical raster, counted from 1, in the order of the channels.
        aux_bands: Bands of the auxiliary raster, likewise.
        aux_range: Values that become 0 and 1: ``'tile'`` for the auxiliary raster's own least and
            greatest, ``('percentile', 1, 99)``, ``(low, high)`` or ``(low, high, clip)`` in its
            unit, None for values as they are. Where it is warped, ``'tile'`` and percentiles are
            of the values on the optical raster's grid, which are read once or twice before.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unreadable or lacks a band, the rasters do not fit, or the
            auxiliary one has no range.
    """

    def __init__(
        self,
        img_path: str | Path,
        aux_path: str | Path | None,
        *,
        img_bands: Sequence[int],
        aux_bands: Sequence[int],
        aux_range: str | Percentiles | AuxRange | None,
    ) -> None:
        self.info = read_info(img_path)
        check_bands(self.info, img_bands)
        self.num_channels = len(img_bands) + len(aux_bands)
        self._img_bands, self._aux_bands = tuple(img_bands), tuple(aux_bands)
        height = self.info.height
        self._img = _Chunks(self._read_img, _step(self.info), height)
        self._aux: _Chunks | None = None
        self._warped: WarpedRows | None = None
        self._scaling: AuxRange | None = None
        if aux_path is None:
            return
        self._aux_info = read_info(aux_path)
        check_bands(self._aux_info, aux_bands)
        if on_one_grid(self._aux_info, self.info):
            paths = [self._aux_info.path]
            (self._scaling,) = aux_ranges(paths, self._aux_bands, aux_range, keep=False)
            self._aux = _Chunks(self._read_aux, _step(self._aux_info), height)
        else:
            self._warped = WarpedRows(self._aux_info, self.info, self._aux_bands)
            try:
                self._scaling = self._warped.find_range(aux_range)
            finally:
                self._warped.close()  # the thread that reads the rows opens its own
            self._aux = _Chunks(self._warped.read, self._warped.step, height)

    @property
    def aux_range(self) -> AuxRange | None:
        """The values that become 0 and 1, found if they were asked for by name."""
        return self._scaling

    def __exit__(self, *error: object) -> None:
        """Close the reader."""
        self.close()

    def read_rows(
        self, first: int, last: int, columns: tuple[int, int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Read rows; from the top down, in pieces of any height, each pixel is read once.

        So it is for each band of columns in turn.

        Args:
            first: First row.
            last: Row after the last one.
            columns: First column and the one after the last; None is all.

        Returns:
            (C, n, W) float32, optical first, not normalised; and (n, W) bool, whether some optical
            band holds data.

        Raises:
            ValueError: If there are no such rows, or a file is damaged there.
        """
        if not 0 <= first < last <= self.info.height:
            raise ValueError(
                f'The rows {first} to {last} leave {self.info.path} of {self.info.height} rows: '
                'give rows inside.'
            )
        columns = columns or (0, self.info.width)
        count = len(self._img_bands)
        stack = np.zeros((self.num_channels, last - first, columns[1] - columns[0]), np.float32)
        valid = np.empty(stack.shape[1:], bool)
        for there, here, (values, mask) in self._img.between(first, last, columns):
            _fill(stack[:count, there], values[here])
            valid[there] = mask[here]
        if self._aux is not None:
            for there, here, values in self._aux.between(first, last, columns):
                aux = values[here]
                if self._scaling is not None:
                    aux = scale_aux(aux, *self._scaling)
                _fill(stack[count:, there], aux)
        return stack, valid

    def close(self) -> None:
        """Close the warped raster and forget what was read; no thread may be reading."""
        for chunks in (self._img, self._aux):
            if chunks is not None:
                chunks.forget()
        if self._warped is not None:
            self._warped.close()

    def _read_img(
        self, first: int, last: int, columns: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        window = (first, columns[0], last - first, columns[1] - columns[0])
        return read_with_validity(self.info.path, self._img_bands, window)

    def _read_aux(self, first: int, last: int, columns: tuple[int, int]) -> np.ndarray:
        shape = (self.info.height, self.info.width)
        window = (first, columns[0], last - first, columns[1] - columns[0])
        return read_window(self._aux_info.path, self._aux_bands, window, shape, nodata_to_nan=True)


class _Chunks:
    """Rows in pieces of any height, from what is read in chunks of one height.

    The latest chunk is kept, so that its rest is not read again for the next piece.
    """

    def __init__(
        self, read: Callable[[int, int, tuple[int, int]], Any], step: int, height: int
    ) -> None:
        self.read, self.step, self.height = read, step, height
        self.forget()

    def forget(self) -> None:
        self.place, self.chunk = None, None

    def between(
        self, first: int, last: int, columns: tuple[int, int]
    ) -> Iterator[tuple[slice, slice, Any]]:
        """Give each chunk of the rows: where it goes, which of its rows do, and itself."""
        for start in range(first - first % self.step, last, self.step):
            stop = min(start + self.step, self.height)
            if (start, columns) != self.place:
                self.forget()  # first, for the memory
                self.chunk = self.read(start, stop, columns)
                self.place = start, columns
            top, bottom = max(first, start), min(last, stop)
            there, here = slice(top - first, bottom - first), slice(top - start, bottom - start)
            yield there, here, self.chunk


def _step(info: RasterInfo) -> int:
    """Rows of a raster that are read at a time.

    A row of tiles is read whole, as it is decoded whole. Of a strip that is as wide as the raster
    GDAL keeps the latest itself.
    """
    rows, cols = open_raster(info.path).dataset.block_shapes[0]
    if cols >= info.width and rows > ROWS:
        return ROWS
    return rows * max(1, ROWS // rows)


def _fill(channels: np.ndarray, values: np.ndarray) -> None:
    """Put (h, W, C) values into (C, h, W) float32 channels; what is not finite becomes 0."""
    with np.errstate(over='ignore'):
        channels[...] = np.moveaxis(values, -1, 0)
    if np.issubdtype(values.dtype, np.floating):
        channels[~np.isfinite(channels)] = 0
