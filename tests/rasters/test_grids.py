import numpy as np
import pytest
from mmseg.registry import DATASETS
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from scenes.rasters import random_tile, write_raster

from mobanet_mmseg.rasters.files import RasterInfo, read_info
from mobanet_mmseg.rasters.grids import (
    across_grids,
    bounds_of,
    check_crs,
    check_overlap,
    check_place,
    check_sizes,
    crs_name,
    extent,
    horizontal_crs,
    lies_on,
    max_offset,
    on_one_grid,
)

SHAPE = (20, 30)
PIXEL = 0.05  # metres
ORIGIN = (366_000, 5_808_000)


def raster(path, shape=SHAPE, east=0.0, south=0.0, pixel=PIXEL, **profile):
    """A raster moved by pixels from the place of the others."""
    place = from_origin(ORIGIN[0] + east * PIXEL, ORIGIN[1] - south * PIXEL, pixel, pixel)
    profile = {'transform': place, **profile}
    return read_info(write_raster(path, np.zeros(shape, np.uint8), **profile))


@pytest.fixture
def image(tmp_path):
    return raster(tmp_path / 'image.tif')


@pytest.mark.parametrize(
    'settings',
    [
        {},
        {'shape': (20, 29)},  # a column short, same origin
        {'east': 0.5, 'south': 0},  # centres where the other names corners
        {'crs': None},
        {'crs': None, 'transform': None},
        {'crs': 'EPSG:32633+5773'},  # with a vertical datum
        {'crs': 'LOCAL_CS["grid",UNIT["metre",1]]'},
    ],
)
def test_rasters_that_fit_or_do_not_say_are_accepted(tmp_path, image, settings):
    check_place(raster(tmp_path / 'other.tif', **settings), image)


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'crs': 'EPSG:32632'}, r'other.tif is in EPSG:32632 and .*image.tif in EPSG:32633'),
        ({'crs': 'EPSG:25832+5773'}, 'is in EPSG:25832 and'),
        ({'east': 3, 'south': -4}, 'other.tif lies 5 pixels beside .*image.tif'),
        ({'crs': None, 'east': 1}, 'lies 1 pixels beside'),
        ({'pixel': 0.055}, 'pixels beside'),
        ({'pixel': 0.2}, 'pixels beside'),
    ],
)
def test_rasters_in_another_place_are_refused_with_the_way_out(tmp_path, image, settings, said):
    with pytest.raises(ValueError, match=said) as error:
        check_place(raster(tmp_path / 'other.tif', **settings), image)
    assert 'warp it' in str(error.value) and 'check_place=False' in str(error.value)


def test_the_offset_is_that_of_the_worst_corner(tmp_path, image):
    other = raster(tmp_path / 'other.tif', pixel=PIXEL * 1.1)
    assert max_offset(other, image) == pytest.approx(0.1 * np.hypot(20, 30))
    assert max_offset(raster(tmp_path / 'none.tif', transform=None), image) is None


def test_names_of_crs_are_short(tmp_path, image):
    assert crs_name(image.crs) == 'EPSG:32633' and crs_name(None) == 'no CRS'
    assert horizontal_crs(None) is None


def test_pixels_fit_by_size_and_by_place(tmp_path, image):
    edge = raster(tmp_path / 'edge.tif', shape=(21, 29))
    check_sizes(edge, image)
    assert on_one_grid(edge, image)
    assert not on_one_grid(raster(tmp_path / 'beside.tif', east=1), image)
    wide = raster(tmp_path / 'wide.tif', shape=(20, 32))
    assert not on_one_grid(wide, image)
    with pytest.raises(ValueError, match=r'wide.tif has 20 x 32 pixels and .*image.tif 20 x 30'):
        check_sizes(wide, image)


def header(transform, size=(20, 30), crs='EPSG:32633'):
    """A raster that need not exist."""
    crs = None if crs is None else CRS.from_string(crs)
    return RasterInfo('a.tif', *size, 1, ('uint8',), crs, Affine(*transform), (None,))


GRID = header((1, 0, 500_000, 0, -1, 5_000_000))


@pytest.mark.parametrize(
    ('transform', 'same'),
    [
        ((1, 0, 500_007, 0, -1, 4_999_000), True),  # whole pixels away
        ((1, 0, 500_000.5, 0, -1, 5_000_000), False),
        ((2, 0, 500_000, 0, -2, 5_000_000), False),
        ((1, 0, 500_000, 0, 1, 5_000_000), False),  # south-up
        ((1.0001, 0, 500_000, 0, -1.0001, 5_000_000), True),  # 0.003 pixels at the far corner
    ],
)
def test_cells_of_one_grid_are_found_wherever_they_begin(transform, same):
    assert lies_on(header(transform), GRID) == same
    assert not lies_on(header(transform, crs='EPSG:32632'), GRID)


def turned(east, south, size=(10, 40)):
    """A raster of 10 x 40 m, turned by 45 degrees, from a corner east and south of the grid's."""
    half = 0.5**0.5
    return header((half, half, 500_000 + east, half, -half, 5_000_000 - south), size)


@pytest.mark.parametrize(
    ('other', 'overlap'),
    [
        (GRID, True),
        (header((1, 0, 500_029, 0, -1, 4_999_981)), True),  # one pixel
        (header((1, 0, 500_030, 0, -1, 5_000_000)), False),  # edge at edge
        (header((500, 0, 499_900, 0, -500, 5_000_100), (2, 2)), True),  # around it
        (header((0.1, 0, 500_010, 0, -0.1, 4_999_990), (2, 3)), True),  # within it
        (turned(-10, 10), True),
        (turned(-20, 20), True),  # crosses a corner; no corner of one lies in the other
        (turned(-30, 10), False),  # the boxes around them overlap
        (header((9e-6, 0, 15.0001, 0, -9e-6, 45.1534), crs='EPSG:4326'), True),
        (header((9e-6, 0, 15.1, 0, -9e-6, 45.1534), crs='EPSG:4326'), False),
        (header((1, 0, -180, 0, -1, 90), (180, 360), 'EPSG:4326'), True),  # the whole Earth
    ],
)
def test_rasters_overlap_where_they_have_an_area_in_common(other, overlap):
    if overlap:
        check_overlap(other, GRID)
        return
    with pytest.raises(ValueError, match=r'a.tif \(left, .* have no overlap: give'):
        check_overlap(other, GRID)


def test_turned_rasters_that_lie_apart_are_told_by_either_raster_alone():
    for first, second in ((turned(-30, 10), GRID), (GRID, turned(-30, 10))):
        with pytest.raises(ValueError, match='no overlap'):
            check_overlap(first, second)


def test_vectors_lie_where_their_bounds_do():
    place = GRID.crs, (500_010, 4_999_990, 500_020, 4_999_995)
    check_overlap(extent('a.geojson', *place), GRID)
    assert bounds_of(extent('a.geojson', *place)) == place[1]
    with pytest.raises(ValueError, match=r'a.geojson \(.* = \(0.0, 0.0, 9.0, 9.0\)\) and'):
        check_overlap(extent('a.geojson', GRID.crs, (0, 0, 9, 9)), GRID)
    check_overlap(extent('point.geojson', GRID.crs, (500_010, 4_999_990) * 2), GRID)


def test_a_crs_that_only_one_has_is_missed():
    nowhere = header((1, 0, 5, 0, -1, 7), crs=None)
    check_crs(nowhere, nowhere)
    check_crs(GRID, header((1, 0, 5, 0, -1, 7), crs='EPSG:4326'))
    with pytest.raises(ValueError, match='has no CRS and a.tif has one: write the missing CRS'):
        check_crs(nowhere, GRID)
    with pytest.raises(ValueError, match='cannot be brought from no CRS to EPSG:32633 of a.tif'):
        check_overlap(GRID, nowhere)


@pytest.mark.parametrize(
    'crs',
    [
        'IAU_2015:30100',  # the Moon
        '+proj=eqc +a=1737400 +b=1737400 +units=m',
        'ESRI:104903',
        'EPSG:5703',  # heights alone
        '+proj=geos +h=35785831 +sweep=y',  # whose disc ends before
    ],
)
def test_a_crs_that_proj_cannot_relate_is_named(crs):
    other = header((1, 0, 5e7, 0, -1, 5e7), crs=crs)
    said = 'a.tif cannot be brought from .* to .* of a.tif'
    with pytest.raises(ValueError, match=said) as error:
        across_grids(other, GRID, np.array([0, 1]), np.array([0, 1]))
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    'transform',
    [(0, 0, 500_000, 0, -1, 5e6), (1, 1, 0, 1, 1, 0), (0,) * 6, (float('nan'), 0, 0, 0, -1, 0)],
)
def test_pixels_without_a_size_are_refused(transform):
    flat = header(transform)
    said = 'a.tif states pixels without a size'
    for pair in ((flat, GRID), (GRID, flat)):
        for call in (check_place, check_overlap, lies_on):
            with pytest.raises(ValueError, match=said):
                call(*pair)
        assert not on_one_grid(*pair)


@pytest.mark.parametrize('folder', ['dsm', 'labels'])
def test_a_dataset_refuses_such_a_tile_unless_told_otherwise(tmp_path, folder):
    optical, heights, labels = random_tile(SHAPE)
    for name, pixels in (('rgb', optical), ('dsm', heights), ('labels', labels)):
        crs = 'EPSG:3857' if name == folder else 'EPSG:32633'
        write_raster(tmp_path / name / 'a.tif', pixels, crs=crs)
    config = {
        'type': 'MultimodalSegDataset',
        'data_root': str(tmp_path),
        'data_prefix': {'img_path': 'rgb', 'aux_path': 'dsm', 'seg_map_path': 'labels'},
        'metainfo': {'classes': list('abcdef')},
    }
    with pytest.raises(ValueError, match=f'{folder}/a.tif is in EPSG:3857'):
        DATASETS.build(config)
    assert len(DATASETS.build({**config, 'check_place': False})) == 1
