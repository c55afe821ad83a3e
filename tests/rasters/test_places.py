import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine
from scenes.rasters import write_raster

from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.geotiff import Layer, open_geotiffs, write_geotiff
from mobanet_mmseg.rasters.grids import check_place, lies_on, on_one_grid
from mobanet_mmseg.rasters.warping import warped_values
from mobanet_mmseg.tiling.windows import Window

SHAPE = (20, 30)
GRID = Affine(0.3, 0.4, 366_000, 0.4, -0.3, 5_808_000)  # half a metre, turned
PIXELS = np.random.default_rng(0).integers(1, 250, SHAPE, dtype=np.uint8)
NONE = {'transform': None}


def points(grid=GRID, bend=0.0, east=0.0):
    corners = [(row, col) for row in (0, 10, 20) for col in (0, 30)]
    return [
        GroundControlPoint(row, col, *(grid @ (col + bend * (row == 10) + east, row)))
        for row, col in corners
    ]


def polynomials(line_off=10.0):
    terms = {'line_num_coeff': [0.0] * 20, 'samp_num_coeff': [0.0] * 20}
    terms |= {'line_den_coeff': [1.0] + [0.0] * 19, 'samp_den_coeff': [1.0] + [0.0] * 19}
    scales = dict.fromkeys(['height_off', 'height_scale', 'line_scale', 'samp_scale'], 10.0)
    place = {'lat_off': 52.0, 'lat_scale': 0.1, 'long_off': 13.0, 'long_scale': 0.1}
    return RPC(**terms, **scales, **place, line_off=line_off, samp_off=15.0)


def raster(path, pixels=PIXELS, **profile):
    return read_info(write_raster(path, pixels, **profile))


def test_points_on_a_straight_grid_say_where_a_raster_lies(tmp_path):
    plain = raster(tmp_path / 'plain.tif', transform=GRID)
    by_points = raster(tmp_path / 'points.tif', gcps=points(), **NONE)
    np.testing.assert_allclose(by_points.transform[:6], GRID[:6], atol=1e-6)
    assert by_points.crs == plain.crs
    assert on_one_grid(by_points, plain) and on_one_grid(plain, by_points)
    moved = raster(tmp_path / 'moved.tif', gcps=points(east=7), **NONE)
    for pair in ((moved, plain), (plain, moved), (moved, by_points)):
        with pytest.raises(ValueError, match='lies 7 pixels beside'):
            check_place(*pair)
    assert lies_on(moved, plain)
    with warped_values(moved, plain, (1,)) as warped:
        values = warped.read(Window(0, 0, *SHAPE))[..., 0]
    np.testing.assert_array_equal(values[:, 7:], PIXELS[:, :-7])
    assert np.isnan(values[:, :7]).all()


@pytest.mark.parametrize(
    ('place', 'other', 'said'),
    [
        ({'gcps': points(bend=3)}, {'gcps': points(bend=5)}, '6 ground control points that no'),
        (
            {'rpcs': polynomials()},
            {'rpcs': polynomials(11.0)},
            'polynomials .RPCs. alone',
        ),
    ],
)
def test_places_that_cannot_be_used_are_compared_and_named(tmp_path, place, other, said):
    crs = {'crs': 'EPSG:32633' if 'gcps' in place else None}
    first = raster(tmp_path / 'first.tif', **place, **NONE, **crs)
    second = raster(tmp_path / 'second.tif', **other, **NONE, **crs)
    check_place(first, raster(tmp_path / 'same.tif', **place, **NONE, **crs))
    check_place(first, raster(tmp_path / 'nowhere.tif', crs=None, **NONE))
    for against in (second, raster(tmp_path / 'plain.tif', transform=GRID, crs=first.crs)):
        for pair in ((first, against), (against, first)):
            with pytest.raises(ValueError, match=said):
                check_place(*pair)


@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize(
    'place', [{'gcps': points()}, {'gcps': points(bend=3)}, {'rpcs': polynomials(), 'crs': None}]
)
def test_a_map_lies_as_its_grid_does(tmp_path, place, cog):
    grid = raster(tmp_path / 'grid.tif', **place, **NONE)
    with open_geotiffs([Layer(tmp_path / 'map.tif')], grid, cog=cog) as (file,):
        file.write(PIXELS[None])
    close = read_info(tmp_path / 'map.tif')
    assert (close.gcps, close.rpcs, close.crs) == (grid.gcps, grid.rpcs, grid.crs)
    assert close.gcps or close.rpcs


def test_a_window_keeps_the_place(tmp_path):
    window = Window(4, 6, 8, 10)
    grid = raster(tmp_path / 'grid.tif', gcps=points(), **NONE).crop(window)
    write_geotiff(Layer(tmp_path / 'tile.tif'), grid, PIXELS[None, window.rows, window.cols])
    with rasterio.open(tmp_path / 'tile.tif') as tile:
        np.testing.assert_allclose(tile.transform @ (0, 0), GRID @ (6, 4), atol=1e-6)
    bent = raster(tmp_path / 'bent.tif', gcps=points(bend=3), **NONE).crop(window)
    assert bent.gcps[0][:2] == (-4, -6)
    rpcs = raster(tmp_path / 'rpc.tif', rpcs=polynomials(), crs=None, **NONE).crop(window).rpcs
    assert (rpcs.line_off, rpcs.samp_off) == (6, 9)
