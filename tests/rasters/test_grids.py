import numpy as np
import pytest
from mmseg.registry import DATASETS
from rasterio.transform import from_origin
from scenes.rasters import random_tile, write_raster

from mobanet_mmseg.rasters.grids import check_place, crs_name, horizontal_crs, max_offset
from mobanet_mmseg.rasters.windows import read_info

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
