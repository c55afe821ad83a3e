"""Label maps as the package writes them, and what their polygons should be."""

from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.geotiff import Layer, write_geotiff

CLASSES = Classes(('ground', 'house', 'pond'), ((255, 255, 255), (0, 0, 255), (0, 200, 255)))
METRES = Affine(0.5, 0, 366_000, 0, -0.5, 5_808_000)
UTM = CRS.from_epsg(32633)
# a house with a pond in its yard, at a border of ground and no data
YARD = np.array(
    [
        [0, 0, 0, 0, 0, 0, 255],
        [0, 1, 1, 1, 0, 0, 255],
        [0, 1, 2, 1, 0, 1, 255],
        [0, 1, 1, 1, 0, 0, 255],
        [0, 0, 0, 0, 0, 0, 255],
    ],
    np.uint8,
)


def write_label_map(
    path: Path,
    labels: np.ndarray = YARD,
    transform: Affine = METRES,
    crs: CRS | None = UTM,
    classes: Classes = CLASSES,
) -> Path:
    """Write (H, W) labels as a label map."""
    height, width = labels.shape
    grid = RasterInfo('', height, width, 1, ('uint8',), crs, transform, (255,))
    write_geotiff(Layer(path, classes=classes), grid, labels[None])
    return path


def read_layer(path: Path) -> tuple[dict, np.ndarray, dict[str, np.ndarray]]:
    """Read a GeoPackage: what it says of its one layer, its polygons, and their attributes."""
    pyogrio = pytest.importorskip('pyogrio', reason='the extra "vector" is not installed')
    import shapely

    meta, _, polygons, columns = pyogrio.raw.read(path)
    ((name, kind),) = pyogrio.list_layers(path)
    meta |= {'name': name, 'kind': kind, 'metadata': pyogrio.read_info(path)['layer_metadata']}
    return meta, shapely.from_wkb(polygons), dict(zip(meta['fields'], columns, strict=True))
