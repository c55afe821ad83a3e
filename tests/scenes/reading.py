"""Pairs of rasters on disk, and how the tests read them."""

import numpy as np
from rasterio.transform import from_origin
from rasterio.warp import transform as transform_points
from scenes.rasters import random_tile, write_raster

from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.modalities import AuxRange, StackSpec
from mobanet_mmseg.rasters.windows import read_stack
from mobanet_mmseg.tiling.windows import Window

EAST, NORTH = 366_000, 5_808_000
SHAPE = (37, 53)
BANDS = {'img_bands': (3, 1), 'aux_bands': (1,)}
FIXED = {**BANDS, 'aux_range': (30, 60)}
LAYOUTS = {
    'stripped': {},
    'one high strip': {'blockysize': 37, 'compress': 'deflate'},
    'tiled': {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'compress': 'deflate'},
    'tiles as wide as the raster': {'tiled': True, 'blockxsize': 64, 'blockysize': 16},
    'one band after the other': {'interleave': 'band'},
}


def place(col=0.0, row=0.0, cell=1.0):
    """A grid whose first corner lies metres east and south of the optical one's."""
    return from_origin(EAST + col, NORTH - row, cell, cell)


def optical(tmp_path, pixels=None, **profile):
    pixels = random_tile(SHAPE)[0] if pixels is None else pixels
    return write_raster(tmp_path / 'rgb.tif', pixels, **{'transform': place(), **profile})


def heights(tmp_path, pixels=None, **profile):
    pixels = random_tile(SHAPE)[1] if pixels is None else pixels
    return write_raster(tmp_path / 'dsm.tif', pixels, **{'transform': place(), **profile})


def pair_of(img, aux, *, img_bands, aux_bands, aux_range, **spec):
    return PairReader(img, aux, StackSpec(img_bands, aux_bands, AuxRange.parse(aux_range), **spec))


def read_all(img, aux, step=None, **settings):
    """All rows, in pieces of a height or at once."""
    with pair_of(img, aux, **settings) as reader:
        height = reader.info.height
        rows = range(0, height, step or height)
        parts = [read_rows(reader, row, min(row + (step or height), height)) for row in rows]
    return np.concatenate([p[0] for p in parts], 1), np.concatenate([p[1] for p in parts])


def read_rows(reader, first, last):
    return reader.read(Window(first, 0, last - first, reader.info.width))


def stacked(img, aux, **settings):
    return np.moveaxis(read_stack(img, aux, **settings), -1, 0)


def plane(transform, shape, crs='EPSG:32633'):
    """Heights 30 + x / 4 - y / 2 at the cells' centres, metres from the optical's corner."""
    rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
    a, b, c, d, e, f = transform[:6]
    x, y = a * cols + b * rows + c, d * cols + e * rows + f
    if crs != 'EPSG:32633':
        x, y = map(np.array, transform_points(crs, 'EPSG:32633', x.ravel(), y.ravel()))
        x, y = x.reshape(shape), y.reshape(shape)
    return (30 + (x - EAST) / 4 - (y - NORTH) / 2).astype(np.float32)
