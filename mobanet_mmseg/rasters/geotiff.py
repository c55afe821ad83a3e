"""Writes label maps as indexed GeoTIFFs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.crs import CRS
from rasterio.transform import Affine

from mobanet_mmseg.rasters.row_writer import Layer, open_geotiffs


def label_layer(
    path: str | Path,
    *,
    classes: Sequence[str],
    palette: Sequence[Sequence[int]],
    nodata: int = 255,
) -> Layer:
    """Describe a label map: the palette as its colour table, ``CLASS_0`` ... as its tags.

    Args:
        path: Where to write.
        classes: Name of each class.
        palette: Red, green and blue of each class, 0 to 255.
        nodata: Value that is no class; transparent.

    Raises:
        ValueError: If the palette does not fit the classes.
    """
    if len(palette) != len(classes) or not 0 < len(classes) <= nodata:
        raise ValueError(
            f'{path} is to get {len(classes)} classes and {len(palette)} colours: give 1 to '
            f'{nodata} classes and one colour for each.'
        )
    colours = {index: (*map(int, colour), 255) for index, colour in enumerate(palette)}
    return Layer(
        path=Path(path),
        nodata=nodata,
        tags={f'CLASS_{index}': name for index, name in enumerate(classes)},
        colours={**colours, nodata: (0, 0, 0, 0)},
    )


def check_labels(path: str | Path, labels: np.ndarray, num_classes: int, nodata: int) -> None:
    """Refuse what is no label map.

    Args:
        path: Where the labels are to be written.
        labels: Class indices (H, W), uint8; ``nodata`` where nothing was predicted.
        num_classes: Number of classes.
        nodata: Value that is no class.

    Raises:
        ValueError: If ``labels`` is no (H, W) uint8 array or holds an unknown index.
    """
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ValueError(
            f'{path} is to get labels of shape (H, W) and type uint8, but got {labels.shape} '
            f'{labels.dtype}: take the argmax over the classes first.'
        )
    unknown = labels[(labels >= num_classes) & (labels != nodata)]
    if unknown.size:
        raise ValueError(
            f'{path} is to get class index {unknown[0]}, but there are {num_classes} classes and '
            f'nodata {nodata}: give the classes that the model was trained with.'
        )


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
    """Write a whole label map; see :func:`label_layer` and :func:`open_geotiffs`.

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
    check_labels(path, labels, len(classes), nodata)
    layer = label_layer(path, classes=classes, palette=palette, nodata=nodata)
    with open_geotiffs([layer], labels.shape, crs=crs, transform=transform) as (label_map,):
        label_map.write(labels[None])
