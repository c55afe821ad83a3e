"""An auxiliary raster on another grid is read on that of the optical one."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import Resampling
from rasterio.transform import Affine, from_origin
from rasterio.warp import reproject
from rasterio.warp import transform as transform_points
from scenes.rasters import random_tile
from scenes.reading import (
    BANDS,
    EAST,
    NORTH,
    SHAPE,
    heights,
    optical,
    place,
    plane,
    read_all,
)

from mobanet_mmseg.conversion.raster_pair import Cutting, RasterPair, convert
from mobanet_mmseg.rasters import warping
from mobanet_mmseg.rasters.windows import read_window

GRIDS = {
    'north up': place(),
    'south up': Affine(1, 0, EAST, 0, 1, NORTH - 37),
    'rotated': Affine(0.8, -0.6, EAST + 30, -0.6, -0.8, NORTH),
}
AUX_GRIDS = {
    'coarser': (place(-50, -50, 2.5), (80, 80), 'EPSG:32633'),
    'finer': (place(-50.1, -50.1, 0.25), (640, 640), 'EPSG:32633'),
    'shifted': (place(-50.3, -50.4), (160, 160), 'EPSG:32633'),
    'rotated': (Affine(0.8, -0.6, EAST + 25, -0.6, -0.8, NORTH + 95), (160, 160), 'EPSG:32633'),
    'another zone': (None, (160, 160), 'EPSG:32632'),
    'degrees': (None, (160, 160), 'EPSG:4326'),
}


def aux_grid(name):
    transform, shape, crs = AUX_GRIDS[name]
    if transform is None:
        (x,), (y,) = transform_points('EPSG:32633', crs, [EAST + 25], [NORTH - 20])
        step = (2e-5, 1.2e-5) if crs == 'EPSG:4326' else (1.2, 1.1)
        transform = from_origin(x - 80 * step[0], y + 80 * step[1], *step)
    return transform, shape, crs


@pytest.mark.parametrize('grid', GRIDS)
@pytest.mark.parametrize('aux', AUX_GRIDS)
def test_a_plane_on_any_grid_is_read_on_the_optical_one(tmp_path, monkeypatch, grid, aux):
    monkeypatch.setattr(warping, 'CELL', (8, 16))
    transform, shape, crs = aux_grid(aux)
    img = optical(tmp_path, transform=GRIDS[grid])
    dsm = heights(tmp_path, plane(transform, shape, crs), transform=transform, crs=crs)
    stack, valid = read_all(img, dsm, **BANDS, aux_range=None)
    np.testing.assert_array_equal(stack[:2], np.moveaxis(random_tile(SHAPE)[0], -1, 0)[[2, 0]])
    np.testing.assert_allclose(stack[2], plane(GRIDS[grid], SHAPE), atol=0.01)
    assert valid.all()
    np.testing.assert_array_equal(read_all(img, dsm, 5, **BANDS, aux_range=None)[0], stack)


def test_a_raster_shifted_by_whole_cells_is_copied(tmp_path):
    pixels = random_tile((60, 90))[1]
    img, dsm = optical(tmp_path), heights(tmp_path, pixels, transform=place(-7, -5))
    stack, _ = read_all(img, dsm, **BANDS, aux_range=None)
    np.testing.assert_array_equal(stack[2], pixels[5:42, 7:60])


@pytest.mark.parametrize('cell', [0.31, 3.7])
def test_what_is_warped_in_cells_is_the_whole_warped_at_once(tmp_path, monkeypatch, cell):
    monkeypatch.setattr(warping, 'CELL', (8, 16))
    source = random_tile((300, 300))[1]
    transform = place(-20, -20, cell)
    img, dsm = optical(tmp_path), heights(tmp_path, source, transform=transform)
    whole = np.full(SHAPE, np.nan, np.float32)
    reproject(
        source,
        whole,
        src_transform=transform,
        dst_transform=place(),
        src_crs='EPSG:32633',
        dst_crs='EPSG:32633',
        resampling=Resampling.bilinear,
        XSCALE=cell,
        YSCALE=cell,
        tolerance=0.0,
    )
    stack, _ = read_all(img, dsm, 5, **BANDS, aux_range=None)
    assert np.isfinite(whole).all() and np.ptp(whole) > 1
    np.testing.assert_allclose(stack[2], whole, atol=0.02)


def test_outside_and_at_nodata_a_warped_raster_is_zero_after_the_scaling(tmp_path):
    pixels = np.full((10, 20, 2), 40, np.float32)  # cells of 2 m: the optical's first 20 x 40
    pixels[2:5, 3:6, 0] = -9999
    pixels[7, 11, 1] = np.inf
    pixels[7:9, 3:5] = -9999
    img, dsm = optical(tmp_path), heights(tmp_path, pixels, transform=place(0, 0, 2), nodata=-9999)
    stack, valid = read_all(img, dsm, img_bands=(1,), aux_bands=(1, 2), aux_range=(30, 60))
    expected = np.zeros((2, *SHAPE), np.float32)
    expected[:, :20, :40] = 1 / 3
    expected[0, 5:9, 7:11] = 0  # further out a pixel has a valid cell beside it
    expected[:, 14:18, 6:10] = 0  # what lies in a cell without any band has none
    expected[1, 13:17, 21:25] = 0  # an infinite value spoils what it has a part in
    np.testing.assert_allclose(stack[1:], expected, atol=1e-6)
    assert valid.all()


@pytest.mark.parametrize('fill', [-3.4028235e38, 1e20])
@pytest.mark.parametrize('shift', [0, 0.75, 4])  # on the grid, warped, copied
def test_an_undeclared_fill_spoils_neither_the_range_nor_its_surroundings(tmp_path, shift, fill):
    pixels = random_tile(SHAPE)[1]
    whole = heights(tmp_path, pixels, transform=place(shift)).rename(tmp_path / 'whole.tif')
    filled = pixels.copy()
    filled[8:16, 20:28] = fill
    settings = {**BANDS, 'aux_range': 'tile'}
    with_fill, valid = read_all(
        optical(tmp_path), heights(tmp_path, filled, transform=place(shift)), **settings
    )
    without, _ = read_all(tmp_path / 'rgb.tif', whole, **{**BANDS, 'aux_range': 'tile'})
    near = np.zeros(SHAPE, bool)
    near[7:17, 19 + int(shift) : 30 + int(shift)] = True
    assert with_fill[2][~near].std() > 0.1
    np.testing.assert_allclose(with_fill[2][~near], without[2][~near], atol=0.05)
    inner = with_fill[2][8:16, 21 + int(shift) : 28 + int(shift)]
    assert not inner.any() and valid.all()


@pytest.mark.parametrize('cell', [2.5, 0.5])
def test_a_pair_is_warped_as_its_conversion_into_tiles_warps_it(tmp_path, cell):
    side = round(80 / cell)
    pixels = np.random.default_rng(3).uniform(30, 60, (side, side)).astype(np.float32)
    pixels[side // 4 : side // 3, side // 4 : side // 2] = -9999
    img = optical(tmp_path, random_tile(SHAPE)[0] | 1)
    dsm = heights(tmp_path, pixels, transform=place(-5.3, -5.4, cell), nodata=-9999)
    cutting = Cutting(tile=37, min_side=10)
    convert(RasterPair(str(img), str(dsm)), tmp_path / 'out', cutting)
    tiles = sorted((tmp_path / 'out' / 'aux').iterdir())
    converted = np.concatenate([read_window(path, (1,))[..., 0] for path in tiles], axis=1)
    stack, _ = read_all(img, dsm, **BANDS, aux_range=None)
    assert 0 < (converted == -9999).sum() < converted.size
    np.testing.assert_allclose(stack[2], np.where(converted == -9999, 0, converted), atol=0.01)


def test_a_raster_of_the_whole_earth_is_read_where_the_optical_one_lies(tmp_path):
    cells = {'transform': from_origin(-180, 90, 1, 1), 'crs': 'EPSG:4326'}
    dsm = heights(tmp_path, np.arange(180 * 360, dtype=np.float32).reshape(180, 360), **cells)
    stack, _ = read_all(optical(tmp_path), dsm, **BANDS, aux_range=None)
    (lon,), (lat,) = transform_points('EPSG:32633', 'EPSG:4326', [EAST + 0.5], [NORTH - 0.5])
    np.testing.assert_allclose(stack[2, 0, 0], (89.5 - lat) * 360 + 179.5 + lon, atol=0.1)


@pytest.mark.parametrize('kind', ['mask', 'alpha'])
def test_a_mask_of_a_warped_raster_says_what_is_valid(tmp_path, kind):
    pixels, mask = np.full((40, 60), 9, np.uint8), np.ones((40, 60), bool)
    mask[5:10] = False
    layout = {'transform': place(-0.5, -0.5, 2)}
    if kind == 'alpha':
        pixels = np.dstack([pixels, np.where(mask, 255, 0).astype(np.uint8)])
        layout |= {'photometric': 'minisblack', 'alpha': 'yes'}
    dsm = heights(tmp_path, pixels, **layout)
    if kind == 'mask':
        with rasterio.open(dsm, 'r+') as raster:
            raster.write_mask(mask)
    stack, _ = read_all(optical(tmp_path), dsm, **BANDS, aux_range=None)
    expected = np.full(SHAPE, 9)
    expected[9:19] = 0  # whose centres lie in the masked cells, from 9.5 to 19.5 m
    np.testing.assert_array_equal(stack[2], expected)


def test_a_range_of_its_own_is_that_on_the_optical_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(warping, 'CELL', (8, 16))
    pixels = random_tile((60, 90))[1]
    pixels[0, 0], pixels[-1, -1] = -500, 9000  # beside the optical raster
    pixels[8, 8] = -9999
    img = optical(tmp_path)
    dsm = heights(tmp_path, pixels, transform=place(-7, -5), nodata=-9999)
    inside = np.where(pixels[5:42, 7:60] == -9999, np.nan, pixels[5:42, 7:60])
    stack, _ = read_all(img, dsm, **BANDS, aux_range='tile')
    low, high = np.nanmin(inside), np.nanmax(inside)
    expected = np.nan_to_num((inside - low) / (high - low))
    np.testing.assert_allclose(stack[2], expected, atol=1e-6)
    stack, _ = read_all(img, dsm, **BANDS, aux_range=('percentile', 10, 90))
    values = np.sort(inside[np.isfinite(inside)])
    low, high = (values[int(np.ceil(p * values.size)) - 1] for p in (0.1, 0.9))
    expected = np.nan_to_num((inside - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(stack[2], expected, atol=1e-6)
    assert not (tmp_path / 'aux_statistics.json').exists()


def test_heights_with_a_vertical_reference_are_warped_as_they_are(tmp_path):
    cells = place(-50.5, -50.5, 2)
    profile = {'transform': cells, 'crs': 'EPSG:32633+5773'}
    img, dsm = optical(tmp_path), heights(tmp_path, plane(cells, (90, 90)), **profile)
    stack, _ = read_all(img, dsm, **BANDS, aux_range=None)
    np.testing.assert_allclose(stack[2], plane(place(), SHAPE), atol=1e-2)


def test_a_much_finer_raster_is_warped_in_smaller_cells_to_the_same_values(tmp_path, monkeypatch):
    img = optical(tmp_path, transform=place(0, 0, 20))
    dsm = heights(tmp_path, plane(place(), (740, 1060)), transform=place())
    whole, _ = read_all(img, dsm, **BANDS, aux_range=None)
    monkeypatch.setattr(warping, 'MAX_SOURCE', 20_000)
    cells, _ = read_all(img, dsm, 5, **BANDS, aux_range=None)
    np.testing.assert_allclose(cells, whole, atol=0.01)
    inner = slice(2, -2), slice(2, -2)
    np.testing.assert_allclose(cells[2][inner], plane(place(0, 0, 20), SHAPE)[inner], atol=0.01)
