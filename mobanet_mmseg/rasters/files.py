"""Opens rasters and keeps them open.

GDAL's handles may be shared neither by processes nor by threads, so each keeps its own, bounded in
number.
"""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import attr
import numpy as np
import rasterio.windows
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.rpc import RPC
from rasterio.transform import Affine

from mobanet_mmseg.rasters.sources import ARCHIVE, NETWORK, file_on_disk, refuse_addresses
from mobanet_mmseg.tiling.windows import Window

SCHEME = re.compile(r'(zip|tar|gzip):(//?)([^!]*)(?:!(.*))?')
MAX_RESIDUAL = 0.5  # pixels by which control points may lie beside a straight grid
MAX_OPEN = 96  # all 24 training tiles of Potsdam with their DSMs and labels
CACHE_BYTES = 64_000_000  # GDAL's own default is 5 % of the machine's memory, per process
WINDOW_CACHE_BYTES = 16_000_000  # a window at a random place finds nothing in a cache of any size


@dataclass(frozen=True)
class RasterInfo:
    """What a raster's header says.

    Args:
        path: Path of the file.
        height: Rows, pixels.
        width: Columns, pixels.
        count: Number of bands.
        dtypes: Name of numpy's type of each band.
        crs: Coordinate reference system, None where the file has none.
        transform: From (col, row) to the coordinates of ``crs``; that of the ground control points
            where the file has these instead and they lie on a straight grid.
        nodata: Stored value that means 'no data', one per band, None where there is none.
        alpha: Numbers of the bands that are marked as alpha, counted from 1.
        scales: What each band's stored values are multiplied with to give its unit; ``()`` where
            they are in it, as most are.
        offsets: What is added to that; ``()`` likewise.
        gcps: Ground control points that stand in the place of a transform: row, col, x, y, z.
        rpcs: Rational polynomials, likewise.
    """

    path: str
    height: int
    width: int
    count: int
    dtypes: tuple[str, ...]
    crs: CRS | None
    transform: Affine
    nodata: tuple[float | None, ...]
    alpha: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    gcps: tuple[tuple[float, ...], ...] = ()
    rpcs: RPC | None = field(default=None, hash=False)

    @property
    def dtype(self) -> str:
        """Name of numpy's type that holds the values of all bands."""
        return self.dtype_of(range(1, self.count + 1))

    def dtype_of(self, bands: Sequence[int]) -> str:
        """Name numpy's type that holds the values of some bands.

        Args:
            bands: Their numbers, counted from 1.
        """
        return np.result_type(*(self.dtypes[band - 1] for band in bands)).name

    def to_unit(self, values: np.ndarray, bands: Sequence[int]) -> np.ndarray:
        """Bring stored values to the unit that the scale and the offset of each band state.

        Args:
            values: (number of bands, h, w) floating values.
            bands: Their numbers, counted from 1.
        """
        if not self.scales:
            return values
        scales, offsets = (
            np.array([each[band - 1] for band in bands])[:, None, None]
            for each in (self.scales, self.offsets)
        )
        with np.errstate(over='ignore', invalid='ignore'):
            return (values * scales + offsets).astype(values.dtype)

    def common_nodata(self, bands: Sequence[int]) -> float | None:
        """Give the nodata value that all of some bands have; None where they have no common one.

        Args:
            bands: Their numbers, counted from 1.
        """
        values = {repr(self.nodata[band - 1]): self.nodata[band - 1] for band in bands}
        return values.popitem()[1] if len(values) == 1 else None

    @property
    def data_bands(self) -> tuple[int, ...]:
        """Numbers of all bands but alpha."""
        return tuple(band for band in range(1, self.count + 1) if band not in self.alpha)

    def crop(self, window: Window) -> 'RasterInfo':
        """Say what the header of a window of the raster says, written to a file of its own.

        Args:
            window: The window.
        """
        row, col, height, width = window
        place = rasterio.windows.Window(col, row, width, height)
        transform = rasterio.windows.transform(place, self.transform)
        gcps, rpcs = (), self.rpcs
        if self.transform.is_identity:
            gcps = tuple((point[0] - row, point[1] - col, *point[2:]) for point in self.gcps)
        if rpcs is not None:
            rpcs = attr.evolve(rpcs, line_off=rpcs.line_off - row, samp_off=rpcs.samp_off - col)
        return replace(self, height=height, width=width, transform=transform, gcps=gcps, rpcs=rpcs)


@dataclass(frozen=True)
class Handle:
    """An open raster.

    Args:
        dataset: The open file.
        info: Its header.
    """

    dataset: DatasetReader
    info: RasterInfo

    @cached_property
    def masked(self) -> bool:
        """Whether a mask of the file says where it holds data."""
        flags = self.dataset.mask_flag_enums[0]  # GDAL takes some alpha for a mask: all are ours
        return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


class _Handles(threading.local):
    """The open rasters of one thread of one process, the latest used last."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.items: OrderedDict[tuple[str, int, int], Handle] = OrderedDict()


_handles = _Handles()


def open_raster(path: str | Path) -> Handle:
    """Open a raster, or find it open.

    Args:
        path: Any raster that GDAL opens.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no raster, or is truncated.
    """
    path = gdal_name(os.fspath(path))
    try:
        mtime, size = identity(path)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{path} does not exist: check the path, or put the file there.'
        ) from None
    except PermissionError:
        raise ValueError(_may_not_be_read(path)) from None
    if _handles.pid != os.getpid():  # a forked worker would share the file offsets of its parent
        _handles.__init__()
    items = _handles.items
    key = (path, mtime, size)  # a file that was rewritten is another one
    if key not in items:
        items[key] = _open(path, size if _is_plain(path) else None)
    items.move_to_end(key)
    if len(items) > MAX_OPEN:
        items.popitem(last=False)[1].dataset.close()
    return items[key]


def read_info(path: str | Path) -> RasterInfo:
    """Read a raster's header.

    Args:
        path: Any raster that GDAL opens.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no raster, or is truncated.
    """
    return open_raster(path).info


def info_of(dataset: DatasetReader, path: str) -> RasterInfo:
    """Say what the header of an open raster says.

    Args:
        dataset: The raster, warped or in memory too.
        path: What it is called.
    """
    points, crs = dataset.gcps
    placed = not dataset.transform.is_identity
    gcps = () if placed else tuple((p.row, p.col, p.x, p.y, p.z or 0.0) for p in points)
    linear = dataset.scales, dataset.offsets
    stated = linear != ((1.0,) * dataset.count, (0.0,) * dataset.count)
    return RasterInfo(
        path=path,
        height=dataset.height,
        width=dataset.width,
        count=dataset.count,
        dtypes=_dtypes(dataset),
        crs=crs if gcps else dataset.crs,
        transform=_straight_grid(gcps) if gcps else dataset.transform,
        nodata=dataset.nodatavals,
        alpha=tuple(
            band
            for band, meaning in zip(dataset.indexes, dataset.colorinterp, strict=True)
            if meaning == ColorInterp.alpha
        ),
        scales=dataset.scales if stated else (),
        offsets=dataset.offsets if stated else (),
        gcps=gcps,
        rpcs=None if placed else dataset.rpcs,
    )


def _straight_grid(gcps: Sequence[tuple[float, ...]]) -> Affine:
    """The transform that ground control points lie by; the identity where there is no such one."""
    rows, cols, xs, ys = np.array(gcps).T[:4]
    ones = np.stack([cols, rows, np.ones(len(gcps))], axis=1)
    if np.linalg.matrix_rank(ones) < 3:  # on one line
        return Affine.identity()
    middle = xs.mean(), ys.mean()  # large eastings would cost digits
    places = np.stack([xs - middle[0], ys - middle[1]], axis=1)
    fitted, *_ = np.linalg.lstsq(ones, places, rcond=None)
    (a, d), (b, e), (c, f) = fitted.tolist()
    if abs(a * e - b * d) <= 1e-12 * (a * a + b * b + d * d + e * e):
        return Affine.identity()
    off = np.linalg.solve([[a, b], [d, e]], (ones @ fitted - places).T)  # pixels
    if np.hypot(*off).max() > MAX_RESIDUAL:
        return Affine.identity()
    return Affine(a, b, c + middle[0], d, e, f + middle[1])


def _dtypes(dataset: DatasetReader) -> tuple[str, ...]:
    """Name numpy's type of each band, which has none of GDAL's complex integers."""
    return tuple('complex64' if name == 'complex_int16' else name for name in dataset.dtypes)


def close_rasters() -> None:
    """Close what this thread holds open: a file that is removed keeps its disk space until then."""
    for handle in _handles.items.values():
        handle.dataset.close()
    _handles.items.clear()


def gdal_settings(*, direct: bool = False, cache_bytes: int = CACHE_BYTES) -> rasterio.Env:
    """GDAL's settings while a raster is opened or read.

    Reading a stripped, uncompressed tile past GDAL's cache fetches the window's bytes alone,
    without whole rows: several times faster, and no memory.

    Args:
        direct: Whether to read so; it does not notice a truncated file.
        cache_bytes: Size of GDAL's cache of decoded blocks, which is one of the whole process.
    """
    return rasterio.Env(GDAL_CACHEMAX=cache_bytes, GTIFF_DIRECT_IO='YES' if direct else 'NO')


def is_in_memory(path: str) -> bool:
    """Whether a path is that of a rasterio ``MemoryFile``, which the system does not know.

    Args:
        path: The path.
    """
    return path.startswith('/vsimem/')


def gdal_name(path: str) -> str:
    """Name a raster as GDAL does: ``zip://a.zip!b.tif`` is ``/vsizip/a.zip/b.tif``.

    Args:
        path: As a user names it, or what pathlib leaves of that, with one slash.
    """
    named = SCHEME.fullmatch(path)
    if named is None:
        if not path.startswith('/vsi') or not ARCHIVE.fullmatch(path):
            return path
        whole = re.sub(r'(/vsi\w+)/', r'\1//', path, count=1)  # pathlib drops one of /vsizip//a.zip
        return whole if file_on_disk(path) is None and file_on_disk(whole) else path
    kind, slashes, archive, inside = named.groups()
    whole = f'/{archive}'
    if len(slashes) == 1 and Path(whole).exists():  # pathlib drops one of zip:///a.zip
        archive = whole
    inside = '' if inside is None else '/' + inside.lstrip('/')
    return f'/vsi{kind}/{archive}{inside}'


def identity(path: str) -> tuple[int, int | None]:
    """Time and size of a raster's file, or of the archive that it lies in.

    What is on no disk of this machine (in GDAL's memory, in the network) has neither: it is read
    as GDAL finds it, for a user who names it so.

    Args:
        path: The raster, as GDAL names it.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if not _is_plain(path):
        behind = None if NETWORK.search(path) or is_in_memory(path) else file_on_disk(path)
        if behind is None:
            if ARCHIVE.fullmatch(path) and not NETWORK.search(path):
                raise FileNotFoundError(path)
            return 0, None
        path = behind
    stat = os.stat(path)  # noqa: PTH116  (once per read: no Path is made for it)
    return stat.st_mtime_ns, stat.st_size


def _is_plain(path: str) -> bool:
    """Whether a raster is a file that the system knows by its name."""
    return not path.startswith('/vsi') and not NETWORK.match(path)


def _open(path: str, size: int | None) -> Handle:
    refuse_addresses(path)
    try:
        with gdal_settings(direct=True):
            dataset = rasterio.open(path)
        if size is not None and dataset.driver == 'GTiff' and not _holds_its_pixels(dataset, size):
            with gdal_settings():
                dataset = rasterio.open(path)
    except RasterioIOError as error:
        raise ValueError(_why_unreadable(path, size, error)) from error
    return Handle(dataset, info_of(dataset, path))


def _holds_its_pixels(dataset: DatasetReader, size: int) -> bool:
    """Whether the file is as long as its pixels, which GDAL's direct reading does not check.

    A sparse file is not: blocks that hold nothing are left out of it.

    Raises:
        ValueError: If the last block lies beyond the end of the file.
    """
    rows, cols = dataset.block_shapes[-1]
    last = f'{(dataset.width - 1) // cols}_{(dataset.height - 1) // rows}'
    offset, length = (
        dataset.get_tag_item(f'BLOCK_{what}_{last}', 'TIFF', bidx=dataset.count)
        for what in ('OFFSET', 'SIZE')
    )
    if offset is None or length is None:
        return False
    end = int(offset) + int(length)
    if end > size:
        raise ValueError(
            f'{dataset.name} is truncated: it has {size} bytes where its pixels reach to byte '
            f'{end}; copy or download it again.'
        )
    pixels = dataset.height * dataset.width * sum(np.dtype(t).itemsize for t in _dtypes(dataset))
    return dataset.compression is not None or size >= pixels


def _why_unreadable(path: str, size: int, error: RasterioIOError) -> str:
    if Path(path).is_dir():
        return f'{path} is a folder where a raster is expected: give the file.'
    if size == 0:
        return f'{path} is empty (0 bytes) where a raster is expected: copy or download it again.'
    try:
        with Path(path).open('rb') as file:
            start = file.read(512).lower()
    except PermissionError:
        return _may_not_be_read(path)
    except OSError:  # in an archive; GDAL says why
        start = b''
    if b'<html' in start or b'<!doctype html' in start:
        return f'{path} is a web page where a raster is expected: download the file again.'
    return (
        f'{path} cannot be read as a raster (GDAL says: {error.__cause__ or error}); a GeoTIFF is '
        'expected: copy, download or convert it again.'
    )


def _may_not_be_read(path: str) -> str:
    return f'{path} may not be read: give yourself the permission (chmod), or copy it elsewhere.'
