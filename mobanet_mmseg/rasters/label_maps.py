"""Reads label maps as this package writes them: classes by their indices, names and colours."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rasterio.transform import Affine

from mobanet_mmseg.classes import IGNORE_INDEX, Classes
from mobanet_mmseg.rasters.files import RasterInfo, open_raster
from mobanet_mmseg.rasters.grids import horizontal_crs, is_invertible, why_unplaced
from mobanet_mmseg.rasters.windows import read_with_validity
from mobanet_mmseg.tiling.windows import Window

# of a map without a place: x is the column and y minus the row, as QGIS lays such a raster
PIXEL_UNITS = Affine(1, 0, 0, 0, -1, 0)


@dataclass(frozen=True)
class LabelMap:
    """A raster of class indices.

    Args:
        grid: Its header; the transform is ``PIXEL_UNITS`` where the file states no place, and the
            CRS has no vertical part.
        classes: Names and colours of its classes.
    """

    grid: RasterInfo
    classes: Classes

    def read(self, window: Window) -> np.ndarray:
        """Read (h, w) uint8 class indices, 255 where there is no class.

        Args:
            window: Window of the map.

        Raises:
            ValueError: If it cannot be read, or holds an index that it does not name.
        """
        values, valid = read_with_validity(self.grid.path, (1,), window)
        labels = np.where(valid, values[..., 0], IGNORE_INDEX).astype(np.uint8)
        unknown = labels[(labels >= len(self.classes)) & (labels != IGNORE_INDEX)]
        if unknown.size:
            raise ValueError(
                f'{self.grid.path} holds the value {unknown[0]}, but names {len(self.classes)} '
                'classes (CLASS_0 ...): give a label map as predict.py and test.py write it.'
            )
        return labels


def open_label_map(path: str | Path) -> LabelMap:
    """Read the header of a label map.

    Args:
        path: A label map of ours: of ``predict.py``, ``test.py`` or a converter.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no label map, or its place cannot be told.
    """
    handle = open_raster(path)
    info, tags = handle.info, handle.dataset.tags()
    names = []
    while f'CLASS_{len(names)}' in tags:
        names.append(tags[f'CLASS_{len(names)}'])
    try:
        colours = handle.dataset.colormap(1)
    except ValueError:  # it has none
        colours = {}
    if (info.count, info.dtypes[0]) != (1, 'uint8') or not names or not colours:
        raise ValueError(
            f'{path} is no label map of ours: one band of bytes with a colour table and the names '
            'of the classes (tags CLASS_0, CLASS_1 ...) is expected; give a map as predict.py and '
            'test.py write it.'
        )
    transform = info.transform
    if transform.is_identity:
        if info.gcps or info.rpcs:
            why, remedy = why_unplaced(info)
            raise ValueError(f'{path} {why}: {remedy}.')
        transform = PIXEL_UNITS
    if not is_invertible(transform):
        raise ValueError(f'{path} states pixels without a size: correct it (gdal_edit -a_ullr).')
    palette = [colours.get(index, (0, 0, 0, 255))[:3] for index in range(len(names))]
    grid = replace(info, crs=horizontal_crs(info.crs), transform=transform)
    return LabelMap(grid, Classes(names, palette))
