"""Two rasters of one place, to be cut into tiles."""

import json

import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from mmseg.registry import DATASETS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_points
from scenes.rasters import write_raster

from mobanet_mmseg.conversion.labels import parse_codes
from mobanet_mmseg.conversion.raster_pair import Cutting, RasterPair, convert

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


def labels(tmp_path, pixels, transform=None, **profile):
    return str(
        write_raster(tmp_path / 'label.tif', pixels, transform=transform or place(), **profile)
    )


def labelled(tmp_path):
    codes = np.random.default_rng(2).integers(1, 3, SHAPE, np.uint8)
    files = optical(tmp_path), heights(tmp_path), labels(tmp_path, codes)
    return RasterPair(*files, parse_codes('value', ['a=1', 'b=2']))


def names(out, split):
    return (out / f'{split}.txt').read_text().split()


def ask(out, split='train'):
    """Build the dataset of a split through dataset.py."""
    config = Config.fromfile(out / 'dataset.py')
    return DATASETS.build(config[f'{split}_dataloader'].dataset)


def mosaic(out, folder):
    """Put the tiles of a folder together on the optical grid; how often each pixel is covered."""
    whole, covered = None, np.zeros(SHAPE, int)
    for path in sorted((out / folder).glob('*.tif')):
        with rasterio.open(path) as raster:
            pixels = raster.read()
            col, row = raster.transform.c - EAST, NORTH - raster.transform.f
        if whole is None:
            whole = np.zeros((len(pixels), *SHAPE), pixels.dtype)
        rows = slice(round(row), round(row) + pixels.shape[1])
        cols = slice(round(col), round(col) + pixels.shape[2])
        whole[:, rows, cols] = pixels
        covered[rows, cols] += 1
    return whole, covered


def refused(tmp_path, pair, cutting=SMALL):
    """Give the one sentence with which a conversion ends, and see that it left nothing."""
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises((ValueError, OSError)) as error:
        convert(pair, tmp_path / 'new' / 'out', cutting)
    if (tmp_path / 'new').exists():
        (tmp_path / 'new').rmdir()
    assert sorted(tmp_path.rglob('*')) == before
    assert '\n' not in str(error.value)
    return str(error.value)
