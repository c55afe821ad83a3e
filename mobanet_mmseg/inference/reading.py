"""Reads a pair of rasters by rows as stacked samples, so that a raster of any size is predicted."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
import rasterio
from mmengine.dist import is_main_process
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader, MemoryFile
from rasterio.vrt import WarpedVRT
from rich.console import Console
from rich.progress import track

from mobanet_mmseg.modalities import Limit, Scaling, StackSpec, scale_aux
from mobanet_mmseg.rasters.files import (
    RasterInfo,
    close_rasters,
    info_of,
    is_in_memory,
    open_raster,
    read_info,
)
from mobanet_mmseg.rasters.geotiff import place_of
from mobanet_mmseg.rasters.grids import on_one_grid, why_unplaced
from mobanet_mmseg.rasters.ranges import aux_ranges, find_scaling
from mobanet_mmseg.rasters.sources import check_unchanged, is_tile, stamps
from mobanet_mmseg.rasters.warping import WarpedRaster, warped_values
from mobanet_mmseg.rasters.windows import check_bands, read_open, read_window, read_with_validity
from mobanet_mmseg.tiling.windows import Window

MAX_SIDE = 1 << 22  # pixels: the Earth's equator at 10 m; memory grows with the windows of a side
QUICK = 25_000_000  # pixels whose range is found within seconds
ROWS = 128  # rows that are read at a time, or one row of higher blocks

DTYPES = {'bool': 'uint8', 'float16': 'float32', 'float128': 'float64'}  # what GeoTIFF has not

Image = np.ndarray | str | Path | DatasetReader | WarpedVRT


class PairReader(AbstractContextManager):
    """Rows of an optical and an auxiliary raster, stacked, on the optical one's grid.

    Where both lie on one grid the rows are those of
    :func:`~mobanet_mmseg.rasters.windows.read_stack`, which training reads by. Otherwise the
    auxiliary raster is warped while it is read, and has no data outside of itself.

    Opened in any thread, which finds what does not fit; read in one other; closed after that.

    Args:
        img_path: Optical raster.
        aux_path: Auxiliary raster on any grid; None for one without data.
        spec: Bands that are read, the values of the auxiliary raster that become 0 and 1, and what
            its channels are where it has no data. Where it is warped, a range of its own is that of
            the values on the optical raster's grid, which are read once or twice before.

    Attributes:
        info: Header of the optical raster.
        num_channels: Channels C of the stacked sample.
        scaling: The values that become 0 and 1, found if they were asked for by name.
        stamps: What tells whether the rasters change while they are read.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is unreadable or lacks a band, the rasters do not fit, or the
            auxiliary one has no range.
    """

    def __init__(
        self,
        img_path: str | Path,
        aux_path: str | Path | None,
        spec: StackSpec,
    ) -> None:
        self.stamps = stamps(img_path, aux_path)
        self.info = read_info(img_path)
        if max(self.info.height, self.info.width) > MAX_SIDE:
            raise ValueError(
                f'{self.info.path} has {self.info.height} x {self.info.width} pixels, and at most '
                f'{MAX_SIDE:,} a side are planned at once: cut it (gdal_translate -srcwin).'
            )
        check_bands(self.info, spec.img_bands)
        self.num_channels = spec.num_channels
        self._spec = spec
        self._img = _Chunks(self._read_img, _step(self.info), self.info.height)
        self._aux: _Chunks | None = None
        self._warped: WarpedRaster | None = None
        self.scaling: Scaling | None = None
        if aux_path is None:
            return
        self._aux_info = read_info(aux_path)
        check_bands(self._aux_info, spec.aux_bands)
        one_grid = on_one_grid(self._aux_info, self.info)
        if one_grid:
            self._aux = _Chunks(self._read_aux, _step(self._aux_info), self.info.height)
        else:
            self._warped = _warped(self._aux_info, self.info, spec.aux_bands)
            self._aux = _Chunks(self._read_warped, self._warped.cell[0], self.info.height)
        if one_grid and not is_in_memory(self._aux_info.path):  # the range is known, as in training
            paths = [self._aux_info.path]
            (self.scaling,) = aux_ranges(paths, spec.aux_bands, spec.aux_range, keep=False)
        else:
            name = self._aux_info.path + ('' if one_grid else f' on the grid of {self.info.path}')
            try:
                self.scaling = find_scaling(self._aux_chunks, name, spec.aux_bands, spec.aux_range)
            finally:
                self.close()  # the thread that reads the rows opens its own

    def __exit__(self, *error: object) -> None:
        """Close the reader."""
        self.close()

    def read(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Read a window; from the top down, in pieces of any height, each pixel is read once.

        So it is for each column block in turn.

        Args:
            window: Window of the optical raster; None is all of it.

        Returns:
            (C, h, w) float32, optical first, not normalised; and (h, w) bool, whether some optical
            band holds data.

        Raises:
            ValueError: If a file is damaged there, or is not the one that was opened.
        """
        try:
            return self._read(window or Window(0, 0, self.info.height, self.info.width))
        finally:  # in place of an error that comes of it
            check_unchanged(self.stamps)

    def _read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        count = len(self._spec.img_bands)
        stack = np.empty((self.num_channels, window.height, window.width), np.float32)
        valid = np.empty(stack.shape[1:], bool)
        for there, here, (values, mask) in self._img.between(window):
            _fill(stack[:count, there], values[here])
            valid[there] = mask[here]
        fill = self._spec.aux_fill
        if self._aux is None:
            stack[count:] = np.reshape(fill, (-1, 1, 1))
            return stack, valid
        for there, here, values in self._aux.between(window):
            aux = values[here]
            if self.scaling is not None:
                aux = scale_aux(aux, *self.scaling, fill=fill)
            _fill(stack[count:, there], aux, fill)
        return stack, valid

    def close(self) -> None:
        """Close the warped raster and forget what was read; no thread may be reading."""
        for chunks in (self._img, self._aux):
            if chunks is not None:
                chunks.forget()
        if self._warped is not None:
            self._warped.close()

    def _read_img(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        return read_with_validity(self.info.path, self._spec.img_bands, window)

    def _read_aux(self, window: Window) -> np.ndarray:
        shape = (self.info.height, self.info.width)
        return read_window(self._aux_info.path, self._spec.aux_bands, window, shape, measured=True)

    def _read_warped(self, window: Window) -> np.ndarray:
        values = self._warped.read(window)
        values[~np.isfinite(values)] = np.nan
        return values

    def _aux_chunks(self) -> Iterator[np.ndarray]:
        """Read the auxiliary raster from the top; a large one with a bar."""
        height, width, step = self.info.height, self.info.width, self._aux.step
        quiet = height * width < QUICK or not is_main_process()
        console = Console(stderr=True)
        name = 'Range of the auxiliary raster'
        for row in track(range(0, height, step), name, console=console, disable=quiet):
            yield self._aux.read(Window(row, 0, min(step, height - row), width))


class _Chunks:
    """Rows in pieces of any height, from what is read in chunks of one height.

    The latest chunk is kept, so that its rest is not read again for the next piece.
    """

    def __init__(self, read: Callable[[Window], Any], step: int, height: int) -> None:
        self.read, self.step, self.height = read, step, height
        self.forget()

    def forget(self) -> None:
        self.place, self.chunk = None, None

    def between(self, window: Window) -> Iterator[tuple[slice, slice, Any]]:
        """Give each chunk of a window: where its rows go, which of them do, and itself."""
        for start in range(window.row - window.row % self.step, window.bottom, self.step):
            stop = min(start + self.step, self.height)
            place = Window(start, window.col, stop - start, window.width)
            if place != self.place:
                self.forget()  # first, for the memory
                self.chunk = self.read(place)
                self.place = place
            top, bottom = max(window.row, start), min(window.bottom, stop)
            there = slice(top - window.row, bottom - window.row)
            yield there, slice(top - start, bottom - start), self.chunk


def _step(info: RasterInfo) -> int:
    """Rows of a raster that are read at a time.

    A row of tiles is read whole, as it is decoded whole. Of a strip that is as wide as the raster
    GDAL keeps the latest itself.
    """
    rows, cols = open_raster(info.path).dataset.block_shapes[0]
    if cols >= info.width and rows > ROWS:
        return ROWS
    return rows * max(1, ROWS // rows)


def _fill(channels: np.ndarray, values: np.ndarray, fill: Limit = 0.0) -> None:
    """Put (h, W, C) values into (C, h, W) float32 channels; what is not finite becomes ``fill``."""
    with np.errstate(over='ignore'):
        channels[...] = np.moveaxis(values, -1, 0)
    if np.issubdtype(values.dtype, np.floating):
        np.copyto(channels, np.reshape(fill, (-1, 1, 1)), 'same_kind', where=~np.isfinite(channels))


def _warped(aux: RasterInfo, grid: RasterInfo, bands: Sequence[int]) -> WarpedRaster:
    """Open an auxiliary raster on the optical one's grid."""
    for info in (aux, grid):
        if unplaced := why_unplaced(info):
            why, remedy = unplaced
            raise ValueError(
                f'{aux.path} ({aux.height} x {aux.width} pixels) does not lie on the grid of '
                f'{grid.path} ({grid.height} x {grid.width}), and {info.path} {why} to warp '
                f'by: {remedy}, or give the raster of the same tile.'
            )
    return warped_values(aux, grid, bands)


def spec_for(spec: StackSpec, rgb: Image, aux: Image | None) -> StackSpec:
    """Say which bands of images are read: a tile's own, or those of the tiles' sources.

    Args:
        spec: Bands of tiles, and of the rasters that they were cut from.
        rgb: Optical image; all channels of an array are read.
        aux: Auxiliary image, likewise.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is no raster.
    """
    bands = {}
    for key, image, told in (
        ('img_bands', rgb, spec.img_sources),
        ('aux_bands', aux, spec.aux_sources),
    ):
        array = image is None or isinstance(image, np.ndarray)
        if told is not None and not array and isinstance(image, Image) and not is_tile(image):
            bands[key] = told
    return replace(spec, img_sources=None, aux_sources=None, **bands)


@contextmanager
def open_images(rgb: Image, aux: Image | None, spec: StackSpec) -> Iterator[PairReader]:
    """Open a pair of images of any kind; what is no file is read from GDAL's memory.

    Args:
        rgb: Optical image; of an array (H, W, C), a masked one too, all channels are read.
        aux: Auxiliary image, likewise, or an array (H, W); None for one without data.
        spec: Bands of rasters, and how many channels an array has; the auxiliary image's range.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the images are none, or do not fit each other or the model.
    """
    arrays = [image.shape[:2] for image in (rgb, aux) if isinstance(image, np.ndarray)]
    if len(set(arrays)) > 1:
        raise ValueError(
            f'The optical array has {arrays[0]} pixels and the auxiliary one {arrays[1]}: give '
            'arrays of one height and width.'
        )
    spec = spec_for(spec, rgb, aux)
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter('ignore', NotGeoreferencedWarning)  # arrays have none
        rgb, bands = stack.enter_context(_as_file(rgb, spec.img_bands, 'optical'))
        spec = replace(spec, img_bands=bands)
        if aux is not None:
            aux, bands = stack.enter_context(_as_file(aux, spec.aux_bands, 'auxiliary'))
            spec = replace(spec, aux_bands=bands)
        yield stack.enter_context(PairReader(rgb, aux, spec))


@contextmanager
def _as_file(
    image: Image, bands: tuple[int, ...], kind: Literal['optical', 'auxiliary']
) -> Iterator[tuple[str | Path, tuple[int, ...]]]:
    """Give the path by which an image is read, and the numbers of its bands."""
    if not isinstance(image, Image):
        raise ValueError(
            f'An image is a {type(image).__name__}: give a numpy array, a path or an open rasterio '
            'dataset.'
        )
    if isinstance(image, DatasetReader | WarpedVRT):
        image = _path_of(image) or image
    if isinstance(image, str | Path):
        yield image, bands
        return
    if isinstance(image, np.ndarray):
        values, info = _checked(image, len(bands), kind), None
    else:
        values, info = read_open(image, bands), info_of(image, image.name)
    try:
        with MemoryFile(dirname=f'{kind} image', filename=f'{uuid4().hex}.tif') as memory:
            _write(memory, values, kind, info, bands)
            yield memory.name, tuple(range(1, values.shape[-1] + 1))
    finally:
        close_rasters()  # else they stay in memory


def _checked(array: np.ndarray, channels: int, kind: str) -> np.ndarray:
    """Refuse an array that is no image of so many channels."""
    shape = array.shape
    if kind == 'auxiliary' and array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] != channels:
        raise ValueError(
            f'The {kind} array is of shape {shape}: give (H, W, {channels}), the channels that the '
            'model was trained on, in their order.'
        )
    if array.dtype.kind not in 'biuf':
        raise ValueError(
            f'The {kind} array holds {array.dtype} values where real numbers are expected: give '
            'integers or floats.'
        )
    return array


def _path_of(dataset: DatasetReader | WarpedVRT) -> Path | None:
    """The file of an open raster; None if it has none that reads the same (in memory, warped)."""
    path = Path(dataset.name)
    if type(dataset) is not DatasetReader or not path.is_file():
        return None
    info = read_info(path)  # an overview of the file has another size
    return path if (info.height, info.width) == dataset.shape else None


def _write(
    memory: MemoryFile,
    image: np.ndarray,
    kind: str,
    info: RasterInfo | None,
    bands: Sequence[int],
) -> None:
    """Write an image; where it has no data is NaN, or of optical integers the file's mask."""
    values, masked = np.ma.getdata(image), np.ma.getmaskarray(image)
    dtype = np.dtype(DTYPES.get(values.dtype.name, values.dtype))
    if masked.any() and (kind == 'auxiliary' or dtype.kind == 'f'):
        dtype = np.result_type(dtype, np.float32)
        values = np.where(masked, np.nan, values)
    height, width, count = image.shape
    size = {'height': height, 'width': width, 'count': count, 'dtype': dtype}
    place = {} if info is None else {'crs': info.crs, **place_of(info)}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        memory.open(driver='GTiff', **size, **place, bigtiff='if_safer') as dataset,
    ):
        dataset.write(np.moveaxis(values, -1, 0).astype(dtype, copy=False))
        if info is not None and info.scales:
            dataset.scales, dataset.offsets = (
                tuple(each[band - 1] for band in bands) for each in (info.scales, info.offsets)
            )
        if masked.any() and dtype.kind != 'f':
            dataset.write_mask(~masked.all(axis=-1))
