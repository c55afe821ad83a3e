import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from scenes.prediction import UTM
from scenes.rasters import write_raster

from mobanet_mmseg.inference.arrays import ArraySource, path_of, read_image
from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.rasters.windows import read_info

PLACE = {'crs': UTM, 'transform': from_origin(368000, 5808000, 0.5, 0.5)}
READING = {'img_bands': (1, 2, 3), 'aux_bands': (1,)}


def source(rgb, aux, aux_range=(0, 10), channels=(3, 1)):
    return ArraySource(rgb, aux, channels=channels, aux_range=aux_range)


def some_pair(height=5, width=7):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return rgb, rng.uniform(240, 290, (height, width)).astype(np.float32)


def test_rows_are_stacked_optical_first_and_scaled_by_hand():
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    heights = np.array([[0, 5, 10], [20, -10, np.nan]])
    pixels, valid = source(rgb, heights).read_rows(0, 2)
    assert pixels.dtype == np.float32
    assert pixels[1].tolist() == rgb[..., 1].tolist()
    assert pixels[3].tolist() == [[0, 0.5, 1], [2, -1, 0]]
    assert valid.all()
    below, _ = source(rgb, heights).read_rows(1, 2)
    assert np.array_equal(below, pixels[:, 1:])


@pytest.mark.parametrize(
    'aux_range', ['tile', ('percentile', 5, 90), (250, 280), (0, 9, True), None]
)
def test_any_range_scales_an_array_as_it_scales_the_file(tmp_path, aux_range):
    rgb, heights = some_pair(40, 60)
    heights[3, 4] = np.nan
    heights[5] = -9999
    paths = (
        write_raster(tmp_path / 'rgb.tif', rgb, **PLACE),
        write_raster(tmp_path / 'aux.tif', heights, nodata=-9999, **PLACE),
    )
    with PairReader(*paths, **READING, aux_range=aux_range) as reader:
        expected, valid = reader.read_rows(0, 40)
    masked = np.ma.masked_equal(heights, -9999)
    missing = np.where(heights == -9999, np.nan, heights)
    for aux in (masked, missing, masked[..., None]):
        pixels, found = source(rgb, aux, aux_range).read_rows(0, 40)
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_array_equal(found, valid)


def test_pixels_that_are_no_numbers_or_masked_are_no_data_and_become_zero():
    rgb = np.ones((1, 4, 3), np.float32)
    rgb[0, 0], rgb[0, 1, 0], rgb[0, 2] = np.nan, np.inf, 7
    masked = np.ma.masked_equal(rgb, 7)
    pixels, valid = source(masked, np.zeros((1, 4)), None).read_rows(0, 1)
    assert valid.tolist() == [[False, True, False, True]]  # one channel with data is enough
    assert pixels[0, 0].tolist() == [0, 0, 0, 1]
    assert np.isfinite(pixels).all()


def test_input_arrays_stay_as_they_are():
    rgb, heights = some_pair()
    heights[0, 0] = np.nan
    copies = rgb.copy(), heights.copy()
    source(rgb, heights, 'tile')
    np.testing.assert_array_equal(rgb, copies[0])
    np.testing.assert_array_equal(heights, copies[1])


def test_without_an_auxiliary_array_its_channels_are_zero():
    rgb, _ = some_pair()
    for aux_range in ('tile', (10, 30)):
        pixels, _ = source(rgb, None, aux_range, (3, 2)).read_rows(0, 5)
        assert pixels.shape == (5, 5, 7)
        assert not pixels[3:].any()


RGB, HEIGHTS = some_pair()
MISTAKES = {
    'grey': (RGB[..., 0], HEIGHTS, {}, r'of shape \(5, 7\) and \(5, 7\)'),
    'grey alone': (RGB[..., 0], None, {}, r'of shape \(5, 7\): give an optical one of \(H, W, C\)'),
    'channels first': (np.moveaxis(RGB, -1, 0), HEIGHTS, {}, 'have 7 and 1 channels'),
    'alpha': (RGB[..., [0, 1, 2, 0]], HEIGHTS, {}, '3 optical and 1 auxiliary ones: give'),
    'other split': (RGB[..., :2], np.dstack([HEIGHTS] * 2), {}, 'have 2 and 2 channels'),
    'one channel alone': (RGB[..., :1], None, {}, 'have 1 and 1 channels'),
    'other size': (RGB, HEIGHTS[:, :6], {}, '5 x 7 pixels and the auxiliary one 5 x 6'),
    'complex': (RGB, HEIGHTS + 1j, {}, 'holds complex64 values where real numbers'),
    'words': (RGB.astype(str), HEIGHTS, {}, 'where real numbers are expected'),
    'flat': (RGB, HEIGHTS * 0, {'aux_range': 'tile'}, 'no two different numbers'),
    'empty': (RGB, HEIGHTS * np.nan, {'aux_range': 'tile'}, 'no two different numbers'),
    'no range': (RGB, HEIGHTS, {'aux_range': 'tiles'}, "aux_range='tiles': give 'tile'"),
    'range upside down': (RGB, HEIGHTS, {'aux_range': (9, 1)}, r'aux_range=\(9, 1\): give'),
    'percentages': (RGB, HEIGHTS, {'aux_range': ('percentile', 99, 1)}, 'two percentages'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_gets_its_sentence(name):
    rgb, aux, options, said = MISTAKES[name]
    with pytest.raises(ValueError, match=said) as error:
        source(rgb, aux, **options)
    assert '\n' not in str(error.value)


def test_open_raster_is_read_with_its_nodata_and_stays_open(tmp_path):
    pixels = np.moveaxis(np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5), 0, -1)
    path = write_raster(tmp_path / 'a.tif', pixels, nodata=7, **PLACE)
    with rasterio.open(path) as dataset:
        for image in (path, str(path), dataset):
            values, info = read_image(image, (3, 1))
            assert np.array_equal(values.data, pixels[..., [2, 0]])
            assert np.argwhere(values.mask).tolist() == [[1, 2, 1]]
            assert (info.height, info.width, info.crs) == (4, 5, UTM)
            assert info.transform == PLACE['transform']
        assert not dataset.closed


def test_only_a_file_that_reads_the_same_stands_for_an_open_raster(tmp_path):
    pixels = np.zeros((64, 64), np.uint8)
    path = write_raster(tmp_path / 'a.tif', pixels, **PLACE)
    with rasterio.open(path, 'r+') as dataset:
        assert path_of(dataset) is None  # it may hold what the file does not
        dataset.build_overviews([2])
    with rasterio.open(path) as dataset:
        assert path_of(dataset) == path
        with WarpedVRT(dataset, crs='EPSG:4326') as warped:
            assert path_of(warped) is None
    with rasterio.open(path, overview_level=0) as overview:
        assert path_of(overview) is None
    with MemoryFile(path.read_bytes()) as memory, memory.open() as dataset:
        assert path_of(dataset) is None


def test_raster_that_cannot_be_read_gets_its_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.tif does not exist'):
        read_image(tmp_path / 'none.tif', (1,))
    path = write_raster(tmp_path / 'a.tif', np.zeros((4, 5), np.uint8), **PLACE)
    with rasterio.open(path) as dataset:
        for image in (path, dataset):
            with pytest.raises(ValueError, match=r'a\.tif has 1 band\(s\), but \(1, 2, 3\)'):
                read_image(image, (1, 2, 3))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    tiles = {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'compress': 'deflate'}
    path = write_raster(tmp_path / 'b.tif', noise, **tiles, **PLACE)
    content = bytearray(path.read_bytes())
    content[2000:2400] = b'\xff' * 400
    path.write_bytes(content)
    assert read_info(path).height == 64
    with (
        rasterio.open(path) as dataset,
        pytest.raises(ValueError, match=r'b\.tif is damaged .*copy or download it again'),
    ):
        read_image(dataset, (1,))
