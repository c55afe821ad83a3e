"""Two rasters of one place, to be cut into tiles."""

import json

import numpy as np
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_points
from scenes.rasters import write_raster

from mobanet_mmseg.conversion.raster_pair import Cutting

EAST, NORTH = 366_000, 5_808_000
SHAPE = (40, 60)
SMALL = Cutting(tile=20, min_side=10, block=1, test_share=0.3)


def place(col: float = 0, row: float = 0, cell: float = 1.0) -> Affine:
    """A grid whose first corner is metres east and south of the optical one's."""
    return from_origin(EAST + col, NORTH - row, cell, cell)


def optical(tmp_path, pixels=None, **profile):
    rng = np.random.default_rng(0)
    pixels = rng.integers(1, 255, (*SHAPE, 3), dtype=np.uint8) if pixels is None else pixels
    return str(write_raster(tmp_path / 'rgb.tif', pixels, transform=place(), **profile))


def heights(tmp_path, pixels=None, transform=None, **profile):
    pixels = np.random.default_rng(1).uniform(30, 60, SHAPE) if pixels is None else pixels
    pixels = pixels if pixels.dtype.kind == 'u' else pixels.astype(np.float32)
    return str(
        write_raster(tmp_path / 'dsm.tif', pixels, transform=transform or place(), **profile)
    )


def square(left, top, right, bottom):
    """Corners, metres east and south of the optical one's."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def write_polygons(tmp_path, *features, crs='urn:ogc:def:crs:EPSG::32633', to=None):
    """A GeoJSON of (corners in metres east and south, properties), in another CRS maybe."""

    def ring(corners):
        points = [(EAST + x, NORTH - y) for x, y in [*corners, corners[0]]]
        x, y = zip(*points, strict=True)
        return points if to is None else list(zip(*transform_points(32633, to, x, y), strict=True))

    content = dict(
        type='FeatureCollection',
        features=[
            dict(
                type='Feature',
                properties=properties,
                geometry=dict(type='Polygon', coordinates=[ring(corners)]),
            )
            for corners, properties in features
        ],
    )
    if crs:
        content['crs'] = dict(type='name', properties=dict(name=crs))
    (tmp_path / 'label.geojson').write_text(json.dumps(content))
    return str(tmp_path / 'label.geojson')
