"""Writes label maps as indexed GeoTIFFs."""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetWriter
from rasterio.transform import Affine


def write_labels(
    path: str | Path,
    labels: np.ndarray,
    *,
    crs: CRS | None,
    transform: Affine,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    nodata: int = 255,
) -> None:
    """Write a whole label map; see :func:`open_label_map`.

    Args:
        path: Where to write; an existing file is replaced.
        labels: Class indices (H, W), uint8; ``nodata`` where nothing was predicted.
        crs: Coordinate reference system, if there is one.
        transform: From pixel to CRS coordinates.
        classes: Name of each class.
        palette: Red, green and blue of each class, 0 to 255.
        nodata: Value that is no class.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If ``labels`` is no (H, W) uint8 array or holds an unknown index, or the palette
            does not fit the classes.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(
            f'{path} is to get labels of shape (H, W) and type uint8, but got {labels.shape} '
            f'{labels.dtype}: take the argmax over the classes first.'
        )
    unknown = labels[(labels >= len(classes)) & (labels != nodata)]
    if unknown.size:
        raise ValueError(
            f'{path} is to get class index {unknown[0]}, but there are {len(classes)} classes and '
            f'nodata {nodata}: give the classes that the model was trained with.'
        )
    place = {'crs': crs, 'transform': transform}
    legend = {'classes': classes, 'palette': palette, 'nodata': nodata}
    with open_label_map(path, labels.shape, **place, **legend) as label_map:
        label_map.write(labels, 1)


@contextmanager
def open_label_map(
    path: str | Path,
    shape: tuple[int, int],
    *,
    crs: CRS | None,
    transform: Affine,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    nodata: int = 255,
) -> Iterator[DatasetWriter]:
    """Open an indexed GeoTIFF for writing, whole or window by window.

    It is tiled and compressed, holds the palette as its colour table and the class names as the
    tags ``CLASS_0``, ``CLASS_1`` and so on. It is written beside ``path`` and takes its name only
    once it is complete; on any error nothing of it stays.

    Args:
        path: Where to write; missing parent folders are made, an existing file is replaced.
        shape: Height and width, pixels.
        crs: Coordinate reference system, if there is one.
        transform: From pixel to CRS coordinates; any, south-up and rotated ones too.
        classes: Name of each class.
        palette: Red, green and blue of each class, 0 to 255.
        nodata: Value that is no class; transparent.

    Yields:
        The open dataset, one band of uint8.

    Raises:
        OSError: If the file cannot be written.
        ValueError: If the palette does not fit the classes.
    """
    path = Path(path)
    colours = _colour_table(path, classes, palette, nodata)
    part = path.with_name(f'.{path.name}.{os.getpid()}.part')
    with _writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _writing(path):
            label_map = rasterio.open(
                part,
                'w',
                driver='GTiff',
                height=shape[0],
                width=shape[1],
                count=1,
                dtype='uint8',
                crs=crs,
                transform=None if transform.is_identity else transform,
                nodata=nodata,
                photometric='palette',
                tiled=True,
                blockxsize=256,
                blockysize=256,
                compress='deflate',
                bigtiff='if_safer',
            )
        with _writing(path, (RasterioError,)), label_map:
            label_map.write_colormap(1, colours)
            label_map.update_tags(**{f'CLASS_{index}': name for index, name in enumerate(classes)})
            yield label_map
        with _writing(path):
            _check_complete(part)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _colour_table(
    path: Path, classes: Sequence[str], palette: Sequence[Sequence[int]], nodata: int
) -> dict[int, tuple[int, ...]]:
    """Map each class index to its opaque colour, and nodata to transparent black."""
    if len(palette) != len(classes) or not 0 < len(classes) <= nodata:
        raise ValueError(
            f'{path} is to get {len(classes)} classes and {len(palette)} colours: give 1 to '
            f'{nodata} classes and one colour for each.'
        )
    colours = {index: (*map(int, colour), 255) for index, colour in enumerate(palette)}
    return {**colours, nodata: (0, 0, 0, 0)}


@contextmanager
def _writing(
    path: Path, errors: tuple[type[Exception], ...] = (OSError, RasterioError)
) -> Iterator[None]:
    """Turn what GDAL and the system say into one sentence that names the file."""
    try:
        with warnings.catch_warnings():
            # images without georeference give label maps without one
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            yield
    except errors as error:
        raise OSError(
            f'{path} could not be written ({error.__cause__ or error}): check the free space and '
            'the permissions there, or choose another place.'
        ) from error


def _check_complete(path: Path) -> None:
    """Read every block back: GDAL keeps silent about what fails while a file is closed."""
    with rasterio.open(path) as label_map:
        for (row, column), window in label_map.block_windows(1):
            if not label_map.get_tag_item(f'BLOCK_OFFSET_{column}_{row}', 'TIFF', bidx=1):
                raise OSError(f'block {row}, {column} is missing')
            label_map.read(1, window=window)
