"""Writes files whole or not at all: rasters that windows are read from fast, and text."""

import os
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from mobanet_mmseg.rasters.files import gdal_settings

STRIP = 256  # rows that are written at once: whole rows of blocks
# Read fastest by random windows of 256: LZW and Deflate take half as long again, and of blocks of
# 256 more is decoded that lies outside of the window. Predictors save a quarter of the disk; that
# of floats costs 0.2 ms a window.
BLOCK = 128  # pixels
COMPRESSION = {'compress': 'zstd', 'zstd_level': 1}


def write_raster(
    path: Path,
    strips: Iterable[np.ndarray],
    shape: tuple[int, int],
    scratch: Path,
    *,
    mtime_ns: int,
    colormap: Mapping[int, Sequence[int]] | None = None,
    tags: Mapping[str, str] | None = None,
    **profile: Any,
) -> None:
    """Write a tiled, losslessly compressed GeoTIFF beside its goal, read it back, and rename it.

    The same strips give the same bytes.

    Args:
        path: Where to write; an existing file is replaced.
        strips: Pixels (h, W, C) from the top down, ``STRIP`` rows each, the last one maybe less.
        shape: Height and width, pixels.
        scratch: Folder on the same disk for the unfinished file.
        mtime_ns: Time that the file gets.
        colormap: Colour of each value.
        tags: Metadata, as text.
        **profile: What rasterio needs to know besides: ``count``, ``dtype``, ``crs`` ...

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the strips raise it.
    """
    part = scratch / path.name
    with _writing(path), gdal_settings():
        with rasterio.open(part, 'w', **_layout(shape, colormap, profile)) as raster:
            if colormap is not None:
                raster.write_colormap(1, colormap)
            raster.update_tags(**(tags or {}))
            checksum = row = 0
            for strip in strips:
                pixels = np.ascontiguousarray(np.moveaxis(strip, -1, 0))
                raster.write(pixels, window=((row, row + len(strip)), (0, shape[1])))
                checksum = zlib.crc32(pixels, checksum)
                row += len(strip)
        # GDAL keeps silent about what fails while a file is closed
        if _checksum(part) != checksum:
            raise OSError('it reads back other pixels than were written')
        os.utime(part, ns=(mtime_ns, mtime_ns))
        path.parent.mkdir(exist_ok=True)
        part.replace(path)


def write_text(path: Path, text: str, scratch: Path) -> None:
    """Write a text file beside its goal and rename it.

    Args:
        path: Where to write; an existing file is replaced.
        text: What to write.
        scratch: Folder on the same disk for the unfinished file.

    Raises:
        OSError: If the file cannot be written.
    """
    part = scratch / path.name
    with _writing(path):
        part.write_text(text, encoding='utf-8')
        part.replace(path)


def _layout(
    shape: tuple[int, int], colormap: Mapping | None, profile: dict[str, Any]
) -> dict[str, Any]:
    floating = np.issubdtype(profile['dtype'], np.floating)
    predictor = 1 if colormap is not None else 3 if floating else 2
    photometric = 'rgb' if profile['count'] > 2 else 'minisblack'
    return {
        'driver': 'GTiff',
        'height': shape[0],
        'width': shape[1],
        'tiled': True,
        'blockxsize': BLOCK,
        'blockysize': BLOCK,
        'interleave': 'pixel',
        'bigtiff': 'if_safer',
        'photometric': 'palette' if colormap is not None else photometric,
        'alpha': 'no',  # the fourth band is infrared
        'predictor': predictor,
        **COMPRESSION,
        **profile,
    }


def _checksum(path: Path) -> int:
    checksum = 0
    with rasterio.open(path) as raster:
        for row in range(0, raster.height, STRIP):
            window = ((row, min(row + STRIP, raster.height)), (0, raster.width))
            checksum = zlib.crc32(raster.read(window=window), checksum)
    return checksum


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what GDAL and the system say into one sentence that names the file."""
    try:
        with warnings.catch_warnings():
            # an archive without georeference gives tiles without one
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            yield
    except (OSError, RasterioError) as error:
        raise OSError(
            f'{path} could not be written ({error.__cause__ or error}): check the free space and '
            'the permissions there, or choose another place.'
        ) from error
