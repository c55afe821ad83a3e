import numpy as np
import pytest
import rasterio
from scenes.pairs import SHAPE, optical, place
from scenes.rasters import write_raster

from mobanet_mmseg.conversion.labels import RasterLabels, parse_codes
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.tiling.windows import Window

WHOLE = Window(0, 0, *SHAPE)


def labels(tmp_path, pixels, codes, transform=None, **profile):
    path = write_raster(tmp_path / 'label.tif', pixels, transform=transform or place(), **profile)
    return RasterLabels(str(path), codes, read_info(optical(tmp_path)))


def refused(tmp_path, *args, **profile):
    with pytest.raises(ValueError) as error:
        labels(tmp_path, *args, **profile).refuse_unknown([WHOLE])
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ('kind', 'pairs', 'ignore', 'sentence'),
    [
        ('value', ['building'], [], 'write NAME=VALUE'),
        ('value', ['a=one'], [], "'one' is no value"),
        ('color', ['a=1,2'], [], "'1,2' is no color"),
        ('color', ['a=1,2,256'], [], 'within 0 and 255'),
        ('value', ['a=1', 'b=1'], [], "'b=1' names 1 again"),
        ('value', ['a=1'], ['1'], '1 is both a class and ignored'),
        ('value', [f'c{i}={i}' for i in range(255)], [], 'Got 255 classes: give at most 254'),
    ],
)
def test_a_class_that_cannot_be_read_is_refused(kind, pairs, ignore, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_codes(kind, pairs, ignore)


def test_a_name_that_comes_twice_merges_its_values():
    codes = parse_codes('value', ['tree=2', 'road=7', 'tree=5'], ignore=['0'])
    assert codes.classes.names == ('tree', 'road')
    assert codes.lookup == {2: 0, 7: 1, 5: 0, 0: 255}
    many = parse_codes('value', [f'c{i}={i}' for i in range(254)])
    assert len({*many.classes.palette}) > 200


def test_values_are_warped_by_nearest_neighbour_and_end_where_the_raster_ends(tmp_path):
    values = np.array([[1, 2], [2, 1]], np.uint8)  # cells of 20 m: 40 x 40 of the 40 x 60 pixels
    read = labels(tmp_path, values, parse_codes('value', ['a=1', 'b=2']), place(0, 0, 20.0))
    expected = np.full(SHAPE, 255)
    expected[:, :40] = (values - 1).repeat(20, 0).repeat(20, 1)
    np.testing.assert_array_equal(read.read(WHOLE), expected)
    np.testing.assert_array_equal(read.read(Window(15, 35, 10, 9)), expected[15:25, 35:44])


def test_colours_are_classes_and_nodata_is_a_whole_colour(tmp_path):
    colours = np.array([[255, 0, 0], [0, 0, 255], [0, 0, 0]], np.uint8)
    indices = np.random.default_rng(3).integers(0, 3, SHAPE)
    codes = parse_codes('color', ['red=255,0,0', 'blue=0,0,255'])
    read = labels(tmp_path, colours[indices], codes, nodata=0)
    np.testing.assert_array_equal(read.read(WHOLE), np.array([0, 1, 255])[indices])
    assert codes.classes.palette == ((255, 0, 0), (0, 0, 255))


def test_what_no_class_names_is_listed_with_its_counts(tmp_path):
    values = np.ones(SHAPE, np.uint8)
    values[0, :7], values[1, :3] = 8, 5
    sentence = refused(tmp_path, values, parse_codes('value', ['a=1']))
    assert '8 (7 pixels), 5 (3 pixels);' in sentence
    ignoring = labels(tmp_path, values, parse_codes('value', ['a=1'], ignore=['other']))
    ignoring.refuse_unknown([WHOLE])
    np.testing.assert_array_equal(ignoring.read(WHOLE), np.where(values == 1, 0, 255))
    colours = np.full((*SHAPE, 3), 255, np.uint8)
    colours[0, :2] = (1, 2, 3)
    codes = parse_codes('color', ['white=255,255,255'])
    assert 'names: 1,2,3 (2 pixels);' in refused(tmp_path, colours, codes)


def test_a_raster_of_another_kind_or_elsewhere_is_refused(tmp_path):
    value, color = (parse_codes(*args) for args in (('value', ['a=1']), ('color', ['a=1,2,3'])))
    values, colours = np.ones(SHAPE, np.uint8), np.ones((*SHAPE, 3), np.uint8)
    assert 'give --classes' in refused(tmp_path, values, color)
    assert 'give --colors' in refused(tmp_path, colours, value)
    assert 'colours are uint8' in refused(tmp_path, colours.astype(np.uint16), color)
    assert 'has no CRS and' in refused(tmp_path, values, value, crs=None)
    assert 'no overlap' in refused(tmp_path, values, value, place(0, 40))  # they touch


@pytest.mark.parametrize('inside', ['YES', 'NO'])
def test_what_a_mask_in_or_beside_the_file_leaves_out_is_no_label(tmp_path, inside):
    path = write_raster(tmp_path / 'label.tif', np.ones(SHAPE, np.uint8), transform=place())
    mask = np.ones(SHAPE, bool)
    mask[:5, :7] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, 'r+') as raster:
        raster.write_mask(mask)
    read = RasterLabels(str(path), parse_codes('value', ['a=1']), read_info(optical(tmp_path)))
    np.testing.assert_array_equal(read.read(WHOLE), np.where(mask, 0, 255))
