"""Arrays and rasters that are open already are read as files are."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from scenes.rasters import write_raster
from scenes.reading import pair_of

from mobanet_mmseg.inference.reading import _path_of, open_images
from mobanet_mmseg.modalities import AuxRange, StackSpec
from mobanet_mmseg.rasters.files import _handles

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
