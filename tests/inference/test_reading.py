import threading
import tracemalloc

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject
from rasterio.warp import transform as transform_points
from scenes.rasters import random_tile, write_raster

from mobanet_mmseg.conversion.raster_pair import Cutting, RasterPair, convert
from mobanet_mmseg.inference import reading
from mobanet_mmseg.inference.reading import PairReader, _path_of, open_images
from mobanet_mmseg.modalities import AuxRange, StackSpec
from mobanet_mmseg.rasters import warping
from mobanet_mmseg.rasters import windows as rasters
from mobanet_mmseg.rasters.files import _handles
from mobanet_mmseg.rasters.windows import read_stack, read_window
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


def pair_of(img, aux, *, img_bands, aux_bands, aux_range):
    return PairReader(img, aux, StackSpec(img_bands, aux_bands, AuxRange.parse(aux_range)))


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


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('rows', [1, 128])
def test_rows_of_one_grid_are_those_that_training_reads(tmp_path, monkeypatch, layout, rows):
    monkeypatch.setattr(reading, 'ROWS', rows)  # the least height of a chunk
    img = optical(tmp_path, **LAYOUTS[layout])
    dsm = heights(tmp_path, **LAYOUTS[layout])
    expected = stacked(img, dsm, **FIXED)
    for step in (None, 1, 5, 16, 36):
        stack, valid = read_all(img, dsm, step, **FIXED)
        assert stack.dtype == np.float32 and stack.flags.c_contiguous
        np.testing.assert_array_equal(stack, expected)
        assert valid.shape == SHAPE and valid.all()


@pytest.mark.parametrize('shape', [(36, 53), (37, 52), (36, 52), (38, 54)])
@pytest.mark.parametrize('blocks', [{}, {'tiled': True, 'blockxsize': 16, 'blockysize': 16}])
def test_heights_short_by_an_edge_are_continued_as_in_training(
    tmp_path, monkeypatch, shape, blocks
):
    monkeypatch.setattr(reading, 'ROWS', 1)
    img, dsm = optical(tmp_path), heights(tmp_path, random_tile(shape)[1], **blocks)
    expected = stacked(img, dsm, **FIXED)
    for step in (None, 3):
        np.testing.assert_array_equal(read_all(img, dsm, step, **FIXED)[0], expected)


@pytest.mark.parametrize(
    'profile',
    [
        {'crs': None},
        {'crs': None, 'transform': Affine.identity()},
        {'crs': 'EPSG:32633+5773'},
        {'crs': 'LOCAL_CS["grid",UNIT["metre",1]]'},
        {'transform': place(0.5, 0)},  # centres where the other names corners
    ],
)
def test_a_raster_of_the_size_that_contradicts_nothing_lies_on_the_grid(tmp_path, profile):
    img, dsm = optical(tmp_path), heights(tmp_path, **profile)
    np.testing.assert_array_equal(read_all(img, dsm, **FIXED)[0], stacked(img, dsm, **FIXED))


@pytest.mark.parametrize(
    'aux_range',
    [None, (0, 45, True), (0, 45, False), ((30,), (60,)), 'tile', ('percentile', 5, 95)],
)
def test_any_range_scales_as_in_training(tmp_path, aux_range):
    img, dsm = optical(tmp_path), heights(tmp_path)
    values = np.sort(random_tile(SHAPE)[1].ravel())
    low, high = (values[int(np.ceil(p * values.size)) - 1] for p in (0.05, 0.95))
    ranges = {'tile': (values[0], values[-1]), ('percentile', 5, 95): (low, high, True)}
    settings = {**BANDS, 'aux_range': ranges.get(aux_range, aux_range)}
    stack, _ = read_all(img, dsm, **BANDS, aux_range=aux_range)
    np.testing.assert_array_equal(stack, stacked(img, dsm, **settings))
    assert not (tmp_path / 'aux_statistics.json').exists()


@pytest.mark.parametrize('dtype', ['uint16', 'int16', 'float32', 'float64'])
def test_optical_values_of_any_type_pass_as_they_are(tmp_path, dtype):
    pixels = (random_tile(SHAPE)[0] * 7.0).astype(dtype)
    stack, _ = read_all(optical(tmp_path, pixels), heights(tmp_path), **FIXED)
    np.testing.assert_array_equal(stack[:2], np.moveaxis(pixels[..., [2, 0]], -1, 0))


def test_optical_pixels_that_are_no_numbers_become_zero_and_tell_validity(tmp_path):
    pixels = np.full((2, 3, 3), 7, np.float32)
    pixels[0, 0] = np.nan
    pixels[0, 1, 2] = np.inf
    pixels[1, 0] = -5  # nodata in all bands
    pixels[1, 1, 0] = -5  # in one
    img = optical(tmp_path, pixels, nodata=-5)
    dsm = heights(tmp_path, np.arange(6, dtype=np.float32).reshape(2, 3))
    stack, valid = read_all(img, dsm, img_bands=(3, 1), aux_bands=(1,), aux_range=None)
    np.testing.assert_array_equal(stack[0], [[0, 0, 7], [0, 7, 7]])
    np.testing.assert_array_equal(stack[1], [[0, 7, 7], [0, 0, 7]])
    np.testing.assert_array_equal(valid, [[False, True, True], [False, True, True]])
    values = read_window(img, (3, 1), nodata_to_nan=True)
    np.testing.assert_array_equal(valid, np.isfinite(values).any(axis=-1))


def test_without_an_auxiliary_raster_its_channels_are_zero(tmp_path):
    img = optical(tmp_path)
    settings = {'img_bands': (1, 2, 3), 'aux_bands': (1, 2), 'aux_range': 'tile'}
    with pair_of(img, None, **settings) as reader:
        assert reader.num_channels == 5
        assert (reader.info.height, reader.info.width) == SHAPE
        stack, valid = read_rows(reader, 3, 9)
    np.testing.assert_array_equal(stack[:3], np.moveaxis(random_tile(SHAPE)[0][3:9], -1, 0))
    assert stack.shape == (5, 6, 53) and not stack[3:].any() and valid.all()


@pytest.mark.parametrize('shift', [0, 2.5])  # on the grid and warped
@pytest.mark.parametrize('which', ['rgb', 'dsm'])
@pytest.mark.parametrize('kind', ['another', 'smaller', 'gone'])
def test_raster_that_changes_while_it_is_read_is_not_read_on(tmp_path, kind, which, shift):
    img, aux = optical(tmp_path), heights(tmp_path, transform=place(shift))
    rasterio.shutil.copy(img, tmp_path / 'rgb.vrt', driver='VRT')
    with pair_of(tmp_path / 'rgb.vrt', aux, **FIXED) as reader:
        reader.read(Window(0, 0, 10, 53))
        path = img if which == 'rgb' else aux
        if kind == 'gone':
            path.unlink()
        else:
            shape = (20, 30) if kind == 'smaller' else SHAPE
            other = random_tile(shape, seed=1)[0 if which == 'rgb' else 1]
            write_raster(tmp_path / 'new.tif', other, transform=place(50, 50)).replace(path)
        with pytest.raises(ValueError, match=rf'{which}\.tif has changed while it was read'):
            reader.read(Window(10, 0, 27, 53))


@pytest.mark.parametrize(('height', 'width'), [(1, 2**31 - 1), (2**31 - 1, 1)])
def test_a_raster_without_an_end_is_refused_before_it_takes_memory(tmp_path, height, width):
    bands = '<VRTRasterBand dataType="Byte"/>' * 3
    path = tmp_path / 'rgb.vrt'
    path.write_text(
        f'<VRTDataset rasterXSize="{width}" rasterYSize="{height}">{bands}</VRTDataset>'
    )
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf'{height} x {width} pixels, and at most 4,194,304'):
        pair_of(path, path, **FIXED)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_raster_of_one_row_is_read(tmp_path):
    img, dsm = (
        optical(tmp_path, random_tile((1, 53))[0]),
        heights(tmp_path, random_tile((1, 53))[1]),
    )
    np.testing.assert_array_equal(read_all(img, dsm, **FIXED)[0], stacked(img, dsm, **FIXED))
    cells = place(-10, -10, 2)
    dsm = heights(tmp_path, plane(cells, (20, 50)), transform=cells)
    stack, _ = read_all(img, dsm, **BANDS, aux_range=None)
    np.testing.assert_allclose(stack[2], plane(place(), (1, 53)), atol=1e-3)


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


def refused(img, aux, error=ValueError, **settings):
    with pytest.raises(error) as raised:
        pair_of(img, aux, **{**FIXED, **settings})
    assert '\n' not in str(raised.value)
    return str(raised.value)


def test_rasters_that_do_not_fit_are_refused_in_one_sentence(tmp_path):
    img, other = optical(tmp_path), random_tile((40, 53))[1]
    missing = tmp_path / 'none.tif'
    assert 'none.tif does not exist' in refused(img, missing, FileNotFoundError)
    assert 'none.tif does not exist' in refused(missing, None, FileNotFoundError)
    dsm = heights(tmp_path, other, transform=place(60, 0))
    said = refused(img, dsm)
    assert 'dsm.tif (left, bottom, right, top = ' in said
    assert 'have no overlap: give files of one area' in said
    turned = Affine(0.8, -0.6, EAST - 40, -0.6, -0.8, NORTH - 10)
    dsm = heights(tmp_path, other, transform=turned)
    assert 'have no overlap' in refused(img, dsm)  # the boxes around them have
    dsm = heights(tmp_path, other, crs='EPSG:4326', transform=from_origin(0, 50, 0.1, 0.1))
    assert 'have no overlap' in refused(img, dsm)
    dsm = heights(tmp_path, other, crs=None)
    assert 'dsm.tif has no CRS and' in refused(img, dsm)
    assert 'write the missing CRS into the file' in refused(img, dsm)
    bare = {'crs': None, 'transform': Affine.identity()}
    dsm = heights(tmp_path, other, **bare)
    assert 'dsm.tif has no georeference to warp by: write it' in refused(img, dsm)
    dsm = heights(tmp_path, other)
    assert 'dsm.tif has 1 band(s), but (2,)' in refused(img, dsm, aux_bands=(2,))
    assert 'rgb.tif has 3 band(s), but (4,)' in refused(img, dsm, img_bands=(4,))
    assert "give 'tile'" in refused(img, dsm, aux_range='own')
    assert "give 'tile'" in refused(img, dsm, aux_range=(60, 30))
    img = optical(tmp_path, **bare)
    assert 'rgb.tif has no georeference to warp by: write it' in refused(img, dsm)
    img = optical(tmp_path, crs=None)
    assert 'rgb.tif has no CRS and' in refused(img, dsm)


def test_a_raster_without_a_range_is_refused_in_one_sentence(tmp_path):
    img, cells = optical(tmp_path), place(0, 0, 2)
    dsm = heights(tmp_path, np.full((40, 40), 5, np.float32), transform=cells)
    for aux_range in ('tile', ('percentile', 1, 99)):
        said = refused(img, dsm, aux_range=aux_range)
        assert 'dsm.tif on the grid of' in said and 'is constant in band 1' in said
    dsm = heights(tmp_path, np.full((40, 40), 5, np.float32), transform=cells, nodata=5)
    assert 'holds no valid value in band 1' in refused(img, dsm, aux_range='tile')


def test_a_band_that_is_marked_as_alpha_is_not_warped(tmp_path):
    pixels = np.full((40, 40, 2), 255, np.uint8)
    options = {'photometric': 'minisblack', 'alpha': 'yes', 'transform': place(0, 0, 2)}
    dsm = heights(tmp_path, pixels, **options)
    said = refused(optical(tmp_path), dsm, aux_bands=(1, 2))
    assert 'marks the band 2 as alpha' in said


@pytest.mark.parametrize('name', ['rgb', 'dsm'])
@pytest.mark.parametrize('cell', [1.0, 2.0])
def test_a_damaged_block_is_told_when_its_rows_are_read(tmp_path, monkeypatch, name, cell):
    monkeypatch.setattr(reading, 'ROWS', 16)
    monkeypatch.setattr(warping, 'CELL', (16, 512))
    layout = LAYOUTS['tiled']
    img = optical(tmp_path, **layout)
    dsm = heights(tmp_path, transform=place(0, 0, cell), **layout)
    path = tmp_path / f'{name}.tif'
    with rasterio.open(path) as raster:
        start, length = (
            int(raster.get_tag_item(f'BLOCK_{what}_1_1', 'TIFF', bidx=1))
            for what in ('OFFSET', 'SIZE')
        )
    content = bytearray(path.read_bytes())
    content[start : start + length] = b'\xff' * length
    path.write_bytes(content)
    with pair_of(img, dsm, **FIXED) as reader:
        if cell == 1:
            read_rows(reader, 0, 16)
        with pytest.raises(ValueError, match=rf'{name}\.tif is damaged .* download it again'):
            read_rows(reader, 16, 37)


@pytest.mark.parametrize('cell', [1.0, 2.5])
def test_a_thread_reads_what_another_opened_and_a_third_closes(tmp_path, cell):
    img = optical(tmp_path)
    dsm = heights(tmp_path, transform=place(0, 0, cell))
    expected, _ = read_all(img, dsm, **BANDS, aux_range='tile')
    reader, found = pair_of(img, dsm, **BANDS, aux_range='tile'), []
    thread = threading.Thread(target=lambda: found.append(read_rows(reader, 0, 37)[0]))
    thread.start()
    thread.join()
    reader.close()
    np.testing.assert_array_equal(found[0], expected)


@pytest.mark.parametrize('step', [1, 5, 16, 37])
@pytest.mark.parametrize('cell', [1.0, 2.5])
def test_each_pixel_is_read_once(tmp_path, monkeypatch, step, cell):
    monkeypatch.setattr(reading, 'ROWS', 16)
    monkeypatch.setattr(warping, 'CELL', (8, 16))
    img = optical(tmp_path, **LAYOUTS['tiled'])
    dsm = heights(tmp_path, transform=place(0, 0, cell), **LAYOUTS['tiled'])
    read = {'rgb.tif': np.zeros(SHAPE, int), 'dsm.tif': np.zeros(SHAPE, int)}

    def count(function, name_of):
        def counted(source, bands, window):
            row, col, height, width = (
                int(n) for n in (window.row_off, window.col_off, window.height, window.width)
            )
            read[name_of(source)][row : row + height, col : col + width] += 1
            return function(source, bands, window)

        return counted

    monkeypatch.setattr(
        rasters, '_read', count(rasters._read, lambda handle: handle.info.path.split('/')[-1])
    )
    with pair_of(img, dsm, **FIXED) as reader:
        if reader._warped is not None:
            vrt_read = WarpedVRT.read

            class Counted(WarpedVRT):
                def read(self, bands, window):
                    return count(lambda s, b, w: vrt_read(s, b, window=w), lambda _: 'dsm.tif')(
                        self, bands, window
                    )

            monkeypatch.setattr(warping, 'WarpedVRT', Counted)
        for row in range(0, 37, step):
            read_rows(reader, row, min(row + step, 37))
    assert (read['rgb.tif'] == 1).all() and (read['dsm.tif'] == 1).all()


@pytest.mark.parametrize('cell', [1.0, 0.5, 4.0])
def test_memory_is_that_of_rows(tmp_path, cell):
    side = round(2000 / cell)
    tiles = {'tiled': True, 'blockxsize': 256, 'blockysize': 256, 'compress': 'deflate'}
    pixels = np.zeros((6000, 2000, 3), np.uint8).transpose(1, 0, 2)  # 36 MB
    img = write_raster(tmp_path / 'rgb.tif', pixels, transform=place(), **tiles)
    rows = np.ones((side, round(6000 / cell)), np.float32)
    dsm = write_raster(tmp_path / 'dsm.tif', rows, transform=place(0, 0, cell), **tiles)
    del pixels, rows
    tracemalloc.start()
    with pair_of(img, dsm, **{**FIXED, 'img_bands': (1, 2, 3)}) as reader:
        for row in range(0, 2000, 100):
            read_rows(reader, row, row + 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6  # the whole stack has 192 MB


def test_a_much_finer_raster_is_warped_in_smaller_cells_to_the_same_values(tmp_path, monkeypatch):
    img = optical(tmp_path, transform=place(0, 0, 20))
    dsm = heights(tmp_path, plane(place(), (740, 1060)), transform=place())
    whole, _ = read_all(img, dsm, **BANDS, aux_range=None)
    monkeypatch.setattr(warping, 'MAX_SOURCE', 20_000)
    cells, _ = read_all(img, dsm, 5, **BANDS, aux_range=None)
    np.testing.assert_allclose(cells, whole, atol=0.01)
    inner = slice(2, -2), slice(2, -2)
    np.testing.assert_allclose(cells[2][inner], plane(place(0, 0, 20), SHAPE)[inner], atol=0.01)


@pytest.mark.parametrize('cell', [1.0, 2.5])
def test_columns_are_those_of_the_whole_rows(tmp_path, monkeypatch, cell):
    monkeypatch.setattr(warping, 'CELL', (8, 16))  # whose edges lie within the columns
    img, dsm = optical(tmp_path), heights(tmp_path, transform=place(0, 0, cell))
    with pair_of(img, dsm, **BANDS, aux_range='tile') as reader:
        whole, whole_valid = reader.read()
        for window in (Window(3, 7, 27, 34), Window(0, 16, 37, 16), Window(30, 50, 7, 3)):
            part, valid = reader.read(window)
            np.testing.assert_array_equal(part, whole[..., window.rows, window.cols])
            np.testing.assert_array_equal(valid, whole_valid[window.rows, window.cols])


def test_the_optical_raster_alone_is_its_bands(tmp_path):
    with pair_of(optical(tmp_path), None, **{**FIXED, 'aux_bands': ()}) as reader:
        stack, _ = reader.read()
    np.testing.assert_array_equal(stack, np.moveaxis(random_tile(SHAPE)[0], -1, 0)[[2, 0]])


COUNTS = {'img_bands': (1, 2, 3), 'aux_bands': (1,)}


def read_images(rgb, aux, aux_range=(0, 10), **bands):
    spec = StackSpec(**{**COUNTS, **bands}, aux_range=AuxRange.parse(aux_range))
    with open_images(rgb, aux, spec) as reader:
        return reader.read()


def some_pair(height=5, width=7):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return rgb, rng.uniform(240, 290, (height, width)).astype(np.float32)


def test_rows_are_stacked_optical_first_and_scaled_by_hand():
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    heights = np.array([[0, 5, 10], [20, -10, np.nan]])
    pixels, valid = read_images(rgb, heights)
    assert pixels.dtype == np.float32
    assert pixels[1].tolist() == rgb[..., 1].tolist()
    assert pixels[3].tolist() == [[0, 0.5, 1], [2, -1, 0]]
    assert valid.all()


@pytest.mark.parametrize(
    'aux_range', ['tile', ('percentile', 5, 90), (250, 280), (0, 9, True), None]
)
def test_any_range_scales_an_array_as_it_scales_the_file(tmp_path, aux_range):
    rgb, heights = some_pair(40, 60)
    heights[3, 4] = np.nan
    heights[5] = -9999
    paths = (
        write_raster(tmp_path / 'rgb.tif', rgb),
        write_raster(tmp_path / 'aux.tif', heights, nodata=-9999),
    )
    with pair_of(*paths, **COUNTS, aux_range=aux_range) as reader:
        expected, valid = reader.read()
    masked = np.ma.masked_equal(heights, -9999)
    missing = np.where(heights == -9999, np.nan, heights)
    for aux in (masked, missing, masked[..., None]):
        pixels, found = read_images(rgb, aux, aux_range)
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_array_equal(found, valid)


def test_pixels_that_are_no_numbers_or_masked_are_no_data_and_become_zero():
    rgb = np.ones((1, 4, 3), np.float32)
    rgb[0, 0], rgb[0, 1, 0], rgb[0, 2] = np.nan, np.inf, 7
    masked = np.ma.masked_equal(rgb, 7)
    pixels, valid = read_images(masked, np.zeros((1, 4)), None)
    assert valid.tolist() == [[False, True, False, True]]  # one channel with data is enough
    assert pixels[0, 0].tolist() == [0, 0, 0, 1]
    assert np.isfinite(pixels).all()


def test_input_arrays_stay_as_they_are():
    rgb, heights = some_pair()
    heights[0, 0] = np.nan
    copies = rgb.copy(), heights.copy()
    read_images(rgb, heights, 'tile')
    np.testing.assert_array_equal(rgb, copies[0])
    np.testing.assert_array_equal(heights, copies[1])


def test_without_an_auxiliary_array_its_channels_are_zero():
    rgb, _ = some_pair()
    for aux_range in ('tile', (10, 30)):
        pixels, _ = read_images(rgb, None, aux_range, aux_bands=(1, 2))
        assert pixels.shape == (5, 5, 7)
        assert not pixels[3:].any()


RGB, HEIGHTS = some_pair()
MISTAKES = {
    'grey': (RGB[..., 0], HEIGHTS, {}, r'optical array is of shape \(5, 7\): give \(H, W, 3\)'),
    'grey alone': (RGB[..., 0], None, {}, r'of shape \(5, 7\): give \(H, W, 3\), the channels'),
    'channels first': (np.moveaxis(RGB, -1, 0), None, {}, r'of shape \(3, 5, 7\): give'),
    'alpha': (RGB[..., [0, 1, 2, 0]], HEIGHTS, {}, r'of shape \(5, 7, 4\): give'),
    'two heights': (RGB, np.dstack([HEIGHTS] * 2), {}, r'auxiliary .* \(5, 7, 2\): .* \(H, W, 1\)'),
    'one channel alone': (RGB[..., :1], None, {}, r'of shape \(5, 7, 1\): give'),
    'other size': (RGB, HEIGHTS[:, :6], {}, r'has \(5, 7\) pixels and the auxiliary one \(5, 6\)'),
    'complex': (RGB, HEIGHTS + 1j, {}, 'holds complex64 values where real numbers'),
    'words': (RGB.astype(str), HEIGHTS, {}, 'where real numbers are expected'),
    'flat': (RGB, HEIGHTS * 0, {'aux_range': 'tile'}, 'auxiliary image.* is constant in band 1'),
    'empty': (RGB, HEIGHTS * np.nan, {'aux_range': 'tile'}, 'no valid value in band 1'),
    'no range': (RGB, HEIGHTS, {'aux_range': 'tiles'}, "aux_range='tiles': give 'tile'"),
    'range upside down': (RGB, HEIGHTS, {'aux_range': (9, 1)}, r'aux_range=\(9, 1\): give'),
    'percentages': (RGB, HEIGHTS, {'aux_range': ('percentile', 99, 1)}, 'two percentages'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_gets_its_sentence(name):
    rgb, aux, options, said = MISTAKES[name]
    with pytest.raises(ValueError, match=said) as error:
        read_images(rgb, aux, **options)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('dtype', ['bool', 'int8', 'uint64', 'float16', 'longdouble'])
def test_arrays_of_any_type_are_read(dtype):
    rgb = np.array([[[0, 1, 1], [1, 0, 1]]], dtype)
    pixels, _ = read_images(rgb, rgb[..., 0], None)
    assert pixels[:, 0].tolist() == [[0, 1], [1, 0], [1, 1], [0, 1]]


def test_nothing_of_an_array_stays_in_memory():
    before = set(_handles.items)
    read_images(*some_pair())
    assert not {path for path, *_ in _handles.items if path.startswith('/vsimem/')}
    assert set(_handles.items) <= before


def test_open_raster_is_read_with_its_nodata_and_stays_open(tmp_path):
    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(4, 5, 3)
    path = write_raster(tmp_path / 'a.tif', pixels, nodata=7)
    with rasterio.open(path) as file, WarpedVRT(file) as warped:
        for dataset in (file, warped):
            bands = {'img_bands': (3, 1), 'aux_bands': (2,)}
            stack, valid = read_images(dataset, dataset, None, **bands)
            assert not dataset.closed
            np.testing.assert_array_equal(stack[:2], np.moveaxis(pixels[..., [2, 0]], -1, 0))
            assert np.argwhere(~valid).tolist() == []  # one band of two has data everywhere
            assert stack[2, 0, 2] == 0  # the second band's 7


def test_an_open_raster_of_many_bands_is_masked_by_its_alpha_band(tmp_path):
    """GDAL takes it for a mask of 2 or 4 bands alone."""
    pixels = np.full((4, 5, 5), 100, np.uint16)
    pixels[0, :2, 4] = 0
    path = write_raster(tmp_path / 'a.tif', pixels)
    with rasterio.open(path, 'r+') as raster:
        raster.colorinterp = [*raster.colorinterp[:4], ColorInterp.alpha]
    with MemoryFile(path.read_bytes()) as memory, memory.open() as dataset:
        stack, valid = read_images(dataset, dataset, None, img_bands=(1, 2), aux_bands=(4,))
    assert np.argwhere(~valid).tolist() == [[0, 0], [0, 1]]
    assert stack[2].tolist() == [[0, 0, 100, 100, 100], *[[100] * 5] * 3]


def test_bands_of_several_types_of_an_open_raster_are_read(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.full((4, 5, 2), 7, np.uint8))
    bands = ''.join(
        f'<VRTRasterBand dataType="{kind}" band="{band}"><SimpleSource><SourceFilename>{path}'
        f'</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource></VRTRasterBand>'
        for band, kind in enumerate(('Byte', 'Float32'), 1)
    )
    text = f'<VRTDataset rasterXSize="5" rasterYSize="4">{bands}</VRTDataset>'
    with rasterio.open(text) as dataset:
        stack, _ = read_images(dataset, None, None, img_bands=(1, 2))
    assert (stack[:2] == 7).all()


def test_only_a_file_that_reads_the_same_stands_for_an_open_raster(tmp_path):
    pixels = np.zeros((64, 64), np.uint8)
    path = write_raster(tmp_path / 'a.tif', pixels)
    with rasterio.open(path, 'r+') as dataset:
        assert _path_of(dataset) is None  # it may hold what the file does not
        dataset.build_overviews([2])
    with rasterio.open(path) as dataset:
        assert _path_of(dataset) == path
        with WarpedVRT(dataset, crs='EPSG:4326') as warped:
            assert _path_of(warped) is None
    with rasterio.open(path, overview_level=0) as overview:
        assert _path_of(overview) is None
    with MemoryFile(path.read_bytes()) as memory, memory.open() as dataset:
        assert _path_of(dataset) is None


def test_open_raster_that_cannot_be_read_gets_its_sentence(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.zeros((4, 5), np.uint8))
    with (
        rasterio.open(path) as file,
        WarpedVRT(file) as warped,
        pytest.raises(ValueError, match=r'has 1 band\(s\), but \(1, 2, 3\)'),
    ):
        read_images(warped, None)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    tiles = {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'compress': 'deflate'}
    path = write_raster(tmp_path / 'b.tif', noise, **tiles)
    content = bytearray(path.read_bytes())
    content[2000:2400] = b'\xff' * 400
    path.write_bytes(content)
    with (
        rasterio.open(path) as file,
        WarpedVRT(file) as warped,
        pytest.raises(ValueError, match=r'is damaged .*copy or download it again'),
    ):
        read_images(warped, None, img_bands=(1,))
