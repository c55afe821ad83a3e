import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine
from scenes.label_maps import CLASSES, METRES, UTM, YARD, write_label_map
from scenes.rasters import write_raster

from mobanet_mmseg.rasters.label_maps import PIXEL_UNITS, open_label_map
from mobanet_mmseg.tiling.windows import Window


def test_a_label_map_gives_its_classes_and_labels(tmp_path):
    found = open_label_map(write_label_map(tmp_path / 'map.tif'))
    assert found.classes == CLASSES
    assert (found.grid.crs, found.grid.transform) == (UTM, METRES)
    np.testing.assert_array_equal(found.read(Window(1, 2, 3, 5)), YARD[1:4, 2:])


def test_heights_of_a_crs_do_not_matter_to_a_map(tmp_path):
    crs = CRS.from_user_input('EPSG:32633+5773')
    assert open_label_map(write_label_map(tmp_path / 'map.tif', crs=crs)).grid.crs == UTM


def test_a_map_without_a_place_is_in_pixels_as_qgis_shows_it(tmp_path):
    path = write_label_map(tmp_path / 'map.tif', transform=Affine.identity(), crs=None)
    found = open_label_map(path).grid
    assert (found.crs, found.transform) == (None, PIXEL_UNITS)


def test_what_is_no_label_map_is_refused(tmp_path):
    path = write_raster(tmp_path / 'a.tif', YARD)
    with pytest.raises(ValueError, match=r'a\.tif is no label map of ours: one band of bytes'):
        open_label_map(path)
    with rasterio.open(path, 'r+') as raster:  # names without colours
        raster.update_tags(CLASS_0='ground', CLASS_1='house')
    with pytest.raises(ValueError, match='is no label map of ours'):
        open_label_map(path)


def test_an_index_without_a_name_is_refused(tmp_path):
    path = write_label_map(tmp_path / 'map.tif')
    with rasterio.open(path, 'r+') as raster:
        raster.write(np.full((1, *YARD.shape), 3, np.uint8))
    with pytest.raises(ValueError, match='holds the value 3, but names 3 classes'):
        open_label_map(path).read(Window(0, 0, 2, 2))


def test_a_map_on_no_straight_grid_is_refused(tmp_path):
    path = write_label_map(tmp_path / 'map.tif', transform=Affine.identity(), crs=None)
    corners = ((0, 0, 0, 0), (0, 7, 7, 0), (5, 0, 0, -5), (5, 7, 20, -20))
    with rasterio.open(path, 'r+') as raster:
        raster.gcps = [GroundControlPoint(*corner) for corner in corners], UTM
    with pytest.raises(ValueError, match=r'4 ground control points .*: warp it by them'):
        open_label_map(path)
