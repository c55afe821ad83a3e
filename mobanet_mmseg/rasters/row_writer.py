"""Writes byte rasters on one grid as GeoTIFFs: row by row, and whole or not at all."""

import glob
import math
import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetWriter
from rasterio.transform import Affine

from mobanet_mmseg.rasters.files import gdal_settings

BLOCK = 256  # pixels, both sides
# Deflate is read everywhere. Labels are small whatever the level; probabilities at level 6 take
# four times as long and save 7 %.
LABEL_LEVEL, BYTE_LEVEL = 6, 1
# rasterio raises SystemError for what GDAL says to its log alone, such as a disk full of overviews
WRITE_ERRORS = (OSError, RasterioError, SystemError)


@dataclass(frozen=True)
class Layer:
    """What one file holds.

    Args:
        path: Its name.
        bands: Description of each band, ``''`` for none.
        nodata: Value that means 'no data'.
        tags: Metadata, as text.
        colours: Colour of each value of a label map, None for other bytes.
        scale: What a byte is multiplied with to give its meaning.
    """

    path: Path
    bands: tuple[str, ...] = ('',)
    nodata: int = 255
    tags: Mapping[str, str] = field(default_factory=dict)
    colours: Mapping[int, tuple[int, ...]] | None = None
    scale: float = 1.0


@contextmanager
def open_geotiffs(
    layers: Sequence[Layer],
    shape: tuple[int, int],
    *,
    crs: CRS | None,
    transform: Affine,
    cog: bool = False,
) -> Iterator[list['RowWriter']]:
    """Open GeoTIFFs on one grid, which are written from the top down.

    They are tiled, compressed and, with several bands, band after band. They are written under
    hidden names beside their goals, read back once they are complete, and only then renamed, the
    first one last: where it stands, the others do. On any error nothing of them stays.

    Args:
        layers: What each file holds; missing parent folders are made, existing files replaced.
        shape: Height and width, pixels.
        crs: Coordinate reference system, if there is one.
        transform: From pixel to CRS coordinates; any, south-up and rotated ones too.
        cog: Whether to write cloud-optimised GeoTIFFs, with overviews.

    Yields:
        One writer per layer.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If rows are missing at the end.
    """
    writers = [RowWriter(layer, shape) for layer in layers]
    try:
        for writer in writers:
            writer.open(crs, transform)
        yield writers
        for writer in writers:
            writer.finish(cog)
        for writer in writers:
            writer.check_goal()  # again: a folder may have come since
        for writer in reversed(writers):
            writer.publish()
    finally:
        for writer in writers:
            writer.discard()


class RowWriter:
    """Writes one GeoTIFF from the top down, each block once; a wide one in bands side by side.

    Whole rows of blocks go past GDAL's cache: so each block is compressed once and lies in the file
    in order, however many rows come at a time and whatever else GDAL does meanwhile.

    Args:
        layer: What the file holds.
        shape: Height and width, pixels.
    """

    def __init__(self, layer: Layer, shape: tuple[int, int]) -> None:
        self.layer = layer
        self.shape = shape
        self.rows_written = 0
        self._hidden = f'.{layer.path.name}.{os.getpid()}'
        self._part = layer.path.with_name(f'{self._hidden}.part')
        self._dataset: DatasetWriter | None = None
        self._columns = 0, 0  # of the band in work
        self._kept = np.empty((len(layer.bands), 0, 0), np.uint8)
        self._rows_kept = 0
        self._checksums: dict[tuple[int, int], int] = {}  # of each band

    def open(self, crs: CRS | None, transform: Affine) -> None:
        """Open the hidden file, so that a place that cannot be written to is found at once."""
        layer = self.layer
        self.check_goal()
        with _writing(layer.path):
            layer.path.parent.mkdir(parents=True, exist_ok=True)
            self._dataset = rasterio.open(self._part, 'w', **self._layout(crs, transform))
            if layer.colours is not None:
                self._dataset.write_colormap(1, layer.colours)
            if layer.scale != 1:
                self._dataset.scales = (layer.scale,) * len(layer.bands)
            for band, description in enumerate(layer.bands, 1):
                if description:
                    self._dataset.set_band_description(band, description)
            self._dataset.update_tags(**layer.tags)

    def write(self, rows: np.ndarray, column: int = 0) -> None:
        """Write the next rows, of all columns or of some.

        Bands of columns are written one after the other, from the left; they meet at edges of the
        file's blocks.

        Args:
            rows: (bands, n, W) uint8, any n.
            column: Number of the first column.

        Raises:
            OSError: If they cannot be written.
            ValueError: If they have another shape or type, or are more than the file has.
        """
        if self._follows(rows, column):
            self._columns = column, column + rows.shape[-1]
            height = min(BLOCK, self.shape[0])
            self._kept = np.empty((len(self.layer.bands), height, rows.shape[-1]), np.uint8)
            self.rows_written = 0
        expected = (len(self.layer.bands), (self._columns[1] or self.shape[1]) - self._columns[0])
        left = self.shape[0] - self.rows_written - self._rows_kept
        fits = rows.ndim == 3 and rows.shape[::2] == expected and column == self._columns[0]
        if rows.dtype != np.uint8 or not fits:
            raise ValueError(
                f'{self.layer.path} is to get rows of shape ({expected[0]}, n, {expected[1]}) and '
                f'type uint8, but got {rows.shape} {rows.dtype} from column {column}: give all '
                'bands and columns.'
            )
        if rows.shape[1] > left:
            raise ValueError(
                f'{self.layer.path} has {self.shape[0]} rows and is to get {rows.shape[1]} more '
                f'where {left} are left: open it with the height of what is written.'
            )
        while rows.shape[1]:
            taken = min(rows.shape[1], self._kept.shape[1] - self._rows_kept)
            self._kept[:, self._rows_kept : self._rows_kept + taken] = rows[:, :taken]
            self._rows_kept += taken
            rows = rows[:, taken:]
            if self._rows_kept in (BLOCK, self.shape[0] - self.rows_written):
                self._write_blocks()

    def finish(self, cog: bool) -> None:
        """Complete the hidden file and read it back.

        Args:
            cog: Whether to make it a cloud-optimised one.

        Raises:
            OSError: If it cannot be written, or is not what was written.
            ValueError: If rows are missing.
        """
        if self.rows_written != self.shape[0] or self._columns[1] != self.shape[1]:
            raise ValueError(
                f'{self.layer.path} got {self.rows_written + self._rows_kept} of its '
                f'{self.shape[0]} rows: write all of them.'
            )
        with _writing(self.layer.path):
            self._dataset.close()
            if cog:
                source = self._part
                self._part = self.layer.path.with_name(f'{self._hidden}.cog.part')
                self._copy_to_cog(source)
                source.unlink()
            if _read_back(self._part, self._checksums) != self._checksums:
                raise OSError('it reads back other pixels than were written')

    def check_goal(self) -> None:
        """Refuse a folder in the place of the file."""
        check_goal(self.layer.path)

    def publish(self) -> None:
        """Give the file its name."""
        with _writing(self.layer.path):
            self._part.replace(self.layer.path)

    def discard(self) -> None:
        """Leave nothing that has not got its name."""
        with suppress(*WRITE_ERRORS):  # on a full disk closing fails, too
            if self._dataset is not None:
                self._dataset.close()
        with suppress(OSError):  # what stays is hidden
            self._part.unlink(missing_ok=True)
            for part in self.layer.path.parent.glob(f'{glob.escape(self._hidden)}.*'):
                part.unlink(missing_ok=True)  # what GDAL keeps beside an unfinished COG

    def _follows(self, rows: np.ndarray, column: int) -> bool:
        """Whether rows begin the next band: the one before is complete, and blocks end between."""
        complete = self.rows_written == self.shape[0] or self._columns[1] == 0
        end = column + rows.shape[-1]
        at_edges = column % BLOCK == 0 and (end % BLOCK == 0 or end == self.shape[1])
        return complete and column == self._columns[1] < end <= self.shape[1] and at_edges

    def _write_blocks(self) -> None:
        rows = np.ascontiguousarray(self._kept[:, : self._rows_kept])
        last = self.rows_written + self._rows_kept
        window = ((self.rows_written, last), self._columns)
        try:
            with gdal_settings():
                self._dataset.write(rows, window=window)
        except WRITE_ERRORS as error:
            raise _not_written(self.layer.path, error) from error
        self._checksums[self._columns] = zlib.crc32(rows, self._checksums.get(self._columns, 0))
        self.rows_written, self._rows_kept = last, 0

    def _layout(self, crs: CRS | None, transform: Affine) -> dict:
        labels = self.layer.colours is not None
        return {
            'driver': 'GTiff',
            'height': self.shape[0],
            'width': self.shape[1],
            'count': len(self.layer.bands),
            'dtype': 'uint8',
            'crs': crs,
            'transform': None if transform.is_identity else transform,
            'nodata': self.layer.nodata,
            'photometric': 'palette' if labels else 'minisblack',
            'alpha': 'no',
            'interleave': 'band',
            'tiled': True,
            'blockxsize': BLOCK,
            'blockysize': BLOCK,
            'compress': 'deflate',
            'zlevel': LABEL_LEVEL if labels else BYTE_LEVEL,
            'predictor': 1 if labels else 2,
            'bigtiff': 'if_safer',
        }

    def _copy_to_cog(self, source: Path) -> None:
        labels = self.layer.colours is not None
        # an overview as wide as the last one is refused by readers: halved until 1 pixel is left
        longer = math.ceil(math.log2(max(self.shape) / BLOCK)) if max(self.shape) > BLOCK else 0
        levels = min(longer, self.shape[1].bit_length() - 1)
        rasterio.shutil.copy(
            source,
            self._part,
            driver='COG',
            blocksize=BLOCK,
            compress='deflate',
            level=LABEL_LEVEL if labels else BYTE_LEVEL,
            predictor='no' if labels else 'standard',
            overview_resampling='nearest' if labels else 'average',  # no class between two others
            **({'overview_count': levels} if levels else {'overviews': 'none'}),
            bigtiff='if_safer',
        )


def check_goal(path: Path) -> None:
    """Refuse a folder in the place of a file, which a file cannot replace.

    Args:
        path: Where a file is to be written.

    Raises:
        OSError: If there is a folder.
    """
    with _writing(path):
        if path.is_dir():
            raise IsADirectoryError('it is a folder')


def touch(path: Path) -> None:
    """Make an empty file, and the folders above it.

    Args:
        path: The file.

    Raises:
        OSError: If it cannot be made.
    """
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what GDAL and the system say into one sentence that names the file."""
    try:
        with warnings.catch_warnings(), gdal_settings():
            # images without georeference give label maps without one
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            yield
    except WRITE_ERRORS as error:
        raise _not_written(path, error) from error


def _not_written(path: Path, error: Exception) -> OSError:
    return OSError(
        f'{path} could not be written ({error.__cause__ or error}): check the free space and '
        'the permissions there, or choose another place.'
    )


def _read_back(path: Path, bands: Iterable[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Checksums of bands of columns: GDAL keeps silent about what fails while a file is closed."""
    checksums = {}
    with rasterio.open(path) as written:
        for columns in bands:
            checksum = 0
            for row in range(0, written.height, BLOCK):
                window = ((row, min(row + BLOCK, written.height)), columns)
                checksum = zlib.crc32(written.read(window=window), checksum)
            checksums[columns] = checksum
        levels = len(written.overviews(1))
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as overview:
            for _, window in overview.block_windows(1):
                overview.read(window=window)
    return checksums
