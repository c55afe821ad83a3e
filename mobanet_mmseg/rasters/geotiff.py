"""Writes GeoTIFFs on one grid: from the top down, and whole or not at all."""

import math
import os
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.control import GroundControlPoint
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.rasters.files import RasterInfo, gdal_settings
from mobanet_mmseg.writing import DERIVED, hidden_part, prepare_place, reporting

ROWS = 256  # that are written and read back at once: whole rows of blocks of either layout


@dataclass(frozen=True)
class Layout:
    """How the pixels lie in a file.

    Args:
        block: Side of the square blocks, pixels.
        interleave: ``'band'`` after band, or the bands of each ``'pixel'`` together.
        values: How values are compressed.
        labels: How label maps are compressed.
    """

    block: int
    interleave: str
    values: dict[str, Any]
    labels: dict[str, Any]


# To hand out: deflate is read everywhere. Labels are small whatever the level; probabilities at
# level 6 take four times as long and save 7 %.
MAP = Layout(
    256, 'band', {'compress': 'deflate', 'zlevel': 1}, {'compress': 'deflate', 'zlevel': 6}
)
# To train on, read fastest by random windows of 256: LZW and deflate take half as long again, and
# of blocks of 256 more is decoded that lies outside of the window. Predictors save a quarter of
# the disk; that of floats costs 0.2 ms a window.
ZSTD = {'compress': 'zstd', 'zstd_level': 1}
TILE = Layout(128, 'pixel', ZSTD, ZSTD)


@dataclass(frozen=True)
class Layer:
    """What one file holds.

    Args:
        path: Output path.
        bands: Description of each band, ``''`` for none.
        dtype: Name of numpy's type.
        nodata: Value that means 'no data'.
        classes: Of a label map: the palette becomes its colour table, ``CLASS_0`` ... its tags.
        scale: What a value is multiplied with to give its meaning.
        layout: How its pixels lie: ``MAP`` or ``TILE``.
        mtime_ns: Time that the file gets; None is now.
        tags: What else the file says of itself.
    """

    path: Path
    bands: tuple[str, ...] = ('',)
    dtype: str = 'uint8'
    nodata: float | None = IGNORE_INDEX
    classes: Classes | None = None
    scale: float = 1.0
    layout: Layout = MAP
    mtime_ns: int | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def compression(self) -> dict[str, Any]:
        """How it is compressed."""
        return self.layout.values if self.classes is None else self.layout.labels


@contextmanager
def open_geotiffs(
    layers: Sequence[Layer], grid: RasterInfo, *, cog: bool = False
) -> Iterator[list['GeoTiff']]:
    """Open GeoTIFFs on one grid, which are written from the top down.

    They are written under hidden names, read back once they are complete, and only then renamed,
    the first one last: where it stands, the others do. On any error nothing of them stays, and
    older files are as they were. The same pixels give the same bytes.

    Args:
        layers: What each file holds; missing parent folders are made, existing files replaced.
        grid: Whose height, width, CRS and transform they get; any, south-up and rotated ones too.
        cog: Whether to write cloud-optimised GeoTIFFs, with overviews.

    Yields:
        One writer per layer.

    Raises:
        OSError: If a file cannot be written.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(_open(layer, grid, cog)) for layer in layers]
        yield files
        for file in files:
            file.finish()
        for file in files:
            prepare_place(file.layer.path)  # again: a folder may have come since


def write_geotiff(
    layer: Layer, grid: RasterInfo, pixels: np.ndarray, mask: np.ndarray | None = None
) -> None:
    """Write a whole GeoTIFF; see :func:`open_geotiffs`.

    Args:
        layer: What it holds.
        grid: Whose height, width, CRS and transform it gets.
        pixels: (bands, H, W) of the layer's type.
        mask: (H, W), where there is data, for a mask in the file; None where a nodata value says
            it.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If a label map holds an unknown index.
    """
    with open_geotiffs([layer], grid) as (file,):
        file.write(pixels)
        if mask is not None:
            file.write_mask(mask)


@contextmanager
def _open(layer: Layer, grid: RasterInfo, cog: bool) -> Iterator['GeoTiff']:
    with hidden_part(layer.path) as part:
        file = GeoTiff(layer, grid, part, cog)
        try:
            yield file
        finally:
            file.close()
    for ending in DERIVED:  # of a file that was replaced: its overviews would be shown for this one
        with suppress(OSError):
            layer.path.with_name(f'{layer.path.name}{ending}').unlink(missing_ok=True)


class GeoTiff:
    """Takes the pixels of one file from the top down, a wide one in column blocks side by side.

    Whole rows of blocks go past GDAL's cache: so each block is compressed once and lies in the file
    in order, however many rows come at a time and whatever else GDAL does meanwhile.

    Args:
        layer: What the file holds.
        grid: Whose height, width, CRS and transform it gets.
        part: Where it is written.
        cog: Whether it is to be a cloud-optimised one.

    Raises:
        OSError: If it cannot be written there, which is so found at once.
    """

    def __init__(self, layer: Layer, grid: RasterInfo, part: Path, cog: bool) -> None:
        self.layer = layer
        self.shape = grid.height, grid.width
        self._part, self._cog = part, cog
        self._plain = part.with_name(f'{part.name}.plain') if cog else part
        self._columns = 0, 0  # of the block in work
        self._kept = np.empty((len(layer.bands), 0, 0), layer.dtype)
        self._rows_kept = self._rows_written = 0
        self._checksums: dict[tuple[int, int], int] = {}  # of each column block
        self._mask: np.ndarray | None = None
        with _writing(layer.path):
            self._dataset = rasterio.open(self._plain, 'w', **self._profile(grid))
            if layer.classes is not None:
                self._dataset.write_colormap(1, layer.classes.colour_table)
            if layer.scale != 1:
                self._dataset.scales = (layer.scale,) * len(layer.bands)
            for band, description in enumerate(layer.bands, 1):
                if description:
                    self._dataset.set_band_description(band, description)
            tags = {} if layer.classes is None else layer.classes.tags
            self._dataset.update_tags(**tags, **layer.tags)

    def write(self, rows: np.ndarray, column: int = 0) -> None:
        """Write the next rows, of all columns or of a block of them.

        Column blocks are written one after the other, from the left; they meet at edges of the
        file's blocks.

        Args:
            rows: (bands, n, W) of the layer's type, any n.
            column: Number of the first column.

        Raises:
            OSError: If they cannot be written.
            ValueError: If a label map holds an unknown index.
        """
        if column != self._columns[0] or self._columns[1] == 0:
            self._begin(column, column + rows.shape[-1])
        expected = len(self.layer.bands), self._columns[1] - self._columns[0]
        assert rows.ndim == 3 and rows.shape[::2] == expected, (rows.shape, expected)
        assert rows.dtype == self.layer.dtype, (rows.dtype, self.layer.dtype)
        assert self._rows_written + self._rows_kept + rows.shape[1] <= self.shape[0], 'rows'
        if self.layer.classes is not None:
            self._check_labels(rows)
        while rows.shape[1]:
            taken = min(rows.shape[1], self._kept.shape[1] - self._rows_kept)
            self._kept[:, self._rows_kept : self._rows_kept + taken] = rows[:, :taken]
            self._rows_kept += taken
            rows = rows[:, taken:]
            if self._rows_kept in (ROWS, self.shape[0] - self._rows_written):
                self._write_blocks()

    def write_mask(self, mask: np.ndarray) -> None:
        """Say where there is data, in a mask inside the file.

        Args:
            mask: (H, W) bool.

        Raises:
            OSError: If it cannot be written.
        """
        self._mask = mask
        with _writing(self.layer.path), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            self._dataset.write_mask(mask)

    def finish(self) -> None:
        """Complete the file and read it back.

        Raises:
            OSError: If it cannot be written, or is not what was written.
        """
        assert (self._rows_written, self._columns[1]) == self.shape, 'not all was written'
        with _writing(self.layer.path):
            self._dataset.close()
            if self._cog:
                self._copy_to_cog()
                self._plain.unlink()
            # GDAL keeps silent about what fails while a file is closed
            if not self._reads_back():
                raise OSError('it reads back other pixels than were written')
            if self.layer.mtime_ns is not None:
                os.utime(self._part, ns=(self.layer.mtime_ns,) * 2)

    def close(self) -> None:
        """Close what is open."""
        with suppress(OSError, RasterioError, SystemError):  # on a full disk closing fails, too
            self._dataset.close()

    def _begin(self, first: int, end: int) -> None:
        """Begin the next column block."""
        block = self.layer.layout.block
        assert self._columns[1] in (0, first) and end <= self.shape[1], (first, end)
        assert first == 0 or self._rows_written == self.shape[0], 'rows of the block before'
        assert first % block == 0 and (end % block == 0 or end == self.shape[1]), (first, end)
        self._columns = first, end
        height = min(ROWS, self.shape[0])
        self._kept = np.empty((len(self.layer.bands), height, end - first), self.layer.dtype)
        self._rows_written = 0

    def _check_labels(self, labels: np.ndarray) -> None:
        number = len(self.layer.classes)
        unknown = labels[(labels >= number) & (labels != self.layer.nodata)]
        if unknown.size:
            raise ValueError(
                f'{self.layer.path} is to get class index {unknown[0]}, but there are {number} '
                f'classes and nodata {self.layer.nodata}: give the classes that the model was '
                'trained with.'
            )

    def _write_blocks(self) -> None:
        rows = np.ascontiguousarray(self._kept[:, : self._rows_kept])
        last = self._rows_written + self._rows_kept
        with _writing(self.layer.path):
            self._dataset.write(rows, window=((self._rows_written, last), self._columns))
        self._checksums[self._columns] = zlib.crc32(rows, self._checksums.get(self._columns, 0))
        self._rows_written, self._rows_kept = last, 0

    def _profile(self, grid: RasterInfo) -> dict[str, Any]:
        layer, layout = self.layer, self.layer.layout
        labels, count = layer.classes is not None, len(layer.bands)
        floating = np.issubdtype(layer.dtype, np.floating)
        picture = layout.interleave == 'pixel' and count > 2 and layer.dtype == 'uint8'
        return {
            'driver': 'GTiff',
            'height': grid.height,
            'width': grid.width,
            'count': count,
            'dtype': layer.dtype,
            'crs': grid.crs,
            **place_of(grid),
            'nodata': layer.nodata,
            'photometric': 'palette' if labels else 'rgb' if picture else 'minisblack',
            'alpha': 'no',  # a fourth band is infrared
            'interleave': layout.interleave,
            'tiled': True,
            'blockxsize': layout.block,
            'blockysize': layout.block,
            'predictor': 1 if labels else 3 if floating else 2,
            'bigtiff': 'if_safer',
            **layer.compression,
        }

    def _copy_to_cog(self) -> None:
        labels, block = self.layer.classes is not None, self.layer.layout.block
        # an overview as wide as the last one is refused by readers: halved until 1 pixel is left
        longer = math.ceil(math.log2(max(self.shape) / block)) if max(self.shape) > block else 0
        levels = min(longer, self.shape[1].bit_length() - 1)
        rasterio.shutil.copy(
            self._plain,
            self._part,
            driver='COG',
            blocksize=block,
            compress=self.layer.compression['compress'],
            level=next(v for k, v in self.layer.compression.items() if k != 'compress'),
            predictor='no' if labels else 'standard',
            overview_resampling='nearest' if labels else 'average',  # no class between two others
            **({'overview_count': levels} if levels else {'overviews': 'none'}),
            bigtiff='if_safer',
        )

    def _reads_back(self) -> bool:
        """Whether the file holds what was written, and its overviews can be decoded."""
        with rasterio.open(self._part) as written:
            for columns, expected in self._checksums.items():
                checksum = 0
                for row in range(0, written.height, ROWS):
                    window = ((row, min(row + ROWS, written.height)), columns)
                    checksum = zlib.crc32(written.read(window=window), checksum)
                if checksum != expected:
                    return False
            if self._mask is not None and ((written.read_masks(1) != 0) != self._mask).any():
                return False
            levels = len(written.overviews(1))
        for level in range(levels):
            with rasterio.open(self._part, overview_level=level) as overview:
                for _, window in overview.block_windows(1):
                    overview.read(window=window)
        return True


def place_of(grid: RasterInfo) -> dict[str, Any]:
    """Say where a raster is to lie, in the way that the grid's file says it.

    Args:
        grid: Header of the raster whose grid it is.

    Returns:
        Options of rasterio's ``open``, besides the CRS.
    """
    rpcs = {} if grid.rpcs is None else {'rpcs': grid.rpcs}
    if grid.gcps:
        points = [GroundControlPoint(*point, id=str(i)) for i, point in enumerate(grid.gcps, 1)]
        return {'gcps': points, **rpcs}
    return {'transform': None if grid.transform.is_identity else grid.transform, **rpcs}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Write with GDAL; what it says becomes the sentence that names the file."""
    # rasterio raises SystemError for what GDAL says to its log alone, such as a disk full of
    # overviews
    with (
        reporting(path, RasterioError, SystemError),
        warnings.catch_warnings(),
        gdal_settings(),
    ):
        # images without georeference give maps without one
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        yield
