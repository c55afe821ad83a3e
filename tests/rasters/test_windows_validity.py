"""Which pixels of a raster are data: nodata, masks, alpha bands, fills, and what a band means."""

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.enums import ColorInterp, Resampling
from scenes.rasters import write_raster

from mobanet_mmseg.rasters import windows
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.ranges import aux_ranges
from mobanet_mmseg.rasters.warping import warped_values
from mobanet_mmseg.rasters.windows import (
    read_mask,
    read_stack,
    read_window,
    read_with_validity,
)
from mobanet_mmseg.tiling.windows import Window


def test_nodata_nan_and_infinite_heights_become_zero_after_scaling(tmp_path):
    heights = np.array([[10, -9999, 20], [np.nan, np.inf, 15]], np.float32)
    img = write_raster(tmp_path / 'img.tif', np.full((2, 3, 3), 7, np.uint8))
    dsm = write_raster(tmp_path / 'dsm.tif', heights, nodata=-9999)
    settings = {'img_bands': (1, 2, 3), 'aux_bands': (1,)}
    scaled = read_stack(img, dsm, **settings, aux_range=(10, 20))[..., 3]
    np.testing.assert_array_equal(scaled, [[0, 0, 1], [0, 0, 0.5]])
    unscaled = read_stack(img, dsm, **settings, aux_range=None)[..., 3]
    np.testing.assert_array_equal(unscaled, [[10, 0, 20], [0, 0, 15]])


@pytest.mark.parametrize('nodata', [np.nan, -3.4028234663852886e38])
def test_every_usual_nodata_value_is_found(tmp_path, nodata):
    heights = np.array([[nodata, 2]], np.float32)
    path = write_raster(tmp_path / 'dsm.tif', heights, nodata=nodata)
    read = read_window(path, (1,), nodata_to_nan=True)[..., 0]
    np.testing.assert_array_equal(read, [[np.nan, 2]])


VALUES = np.arange(12).reshape(3, 4) + 1
LEFT_OUT = np.zeros((3, 4), bool)
LEFT_OUT[1, 2] = True


def masked_raster(path, pixels, *, inside=True, alpha=None, mask=None, **profile):
    """A raster with a mask inside or beside the file, or a band that is marked as alpha."""
    write_raster(path, pixels, **profile)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=inside), rasterio.open(path, 'r+') as raster:
        if alpha is not None:
            kinds = [ColorInterp.undefined] * raster.count
            kinds[alpha - 1] = ColorInterp.alpha
            raster.colorinterp = [ColorInterp.gray, *kinds[1:]] if alpha != 1 else kinds
        if mask is not None:
            raster.write_mask(mask)
    assert path.with_name(f'{path.name}.msk').exists() == (mask is not None and not inside)
    return path


def valid_of(path, bands=(1,)):
    """Where a raster holds data, the same however it is read."""
    values, valid = read_with_validity(path, bands)
    np.testing.assert_array_equal(valid, np.isfinite(values).any(-1) & valid)
    as_nan = read_window(path, bands, nodata_to_nan=True)
    np.testing.assert_array_equal(np.isfinite(as_nan).any(-1), valid)
    grid = read_info(path)
    for resampling in (Resampling.nearest, Resampling.bilinear):
        with warped_values(grid, grid, bands, resampling) as warped:
            np.testing.assert_array_equal(warped.read(Window(0, 0, 3, 4)), as_nan)
    return valid


@pytest.mark.parametrize('inside', [True, False])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_a_mask_inside_or_beside_the_file_leaves_pixels_out(tmp_path, dtype, inside):
    pixels = VALUES.astype(dtype)
    path = masked_raster(tmp_path / 'a.tif', pixels, inside=inside, mask=~LEFT_OUT)
    np.testing.assert_array_equal(valid_of(path), ~LEFT_OUT)
    np.testing.assert_array_equal(read_mask(path, (1,)), ~LEFT_OUT)


@pytest.mark.parametrize('inside', [True, False])
@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32, np.float64])
def test_nodata_and_a_mask_both_leave_pixels_out(tmp_path, dtype, inside):
    options = {'inside': inside, 'mask': ~LEFT_OUT, 'nodata': 5}
    path = masked_raster(tmp_path / 'a.tif', VALUES.astype(dtype), **options)
    np.testing.assert_array_equal(valid_of(path), ~LEFT_OUT & (VALUES != 5))


def test_nodata_is_that_of_each_band(tmp_path):
    pixels = np.stack([VALUES, VALUES[::-1]], -1).astype(np.uint8)
    path = write_raster(tmp_path / 'a.tif', pixels, nodata=5)
    values = read_window(path, (1, 2), nodata_to_nan=True)
    np.testing.assert_array_equal(np.isnan(values), pixels == 5)
    assert valid_of(path, (1, 2)).sum() == 11  # the 5 of both lies in one place, the middle row
    vrt = tmp_path / 'a.vrt'
    with rasterio.open(path) as raster:
        rasterio.shutil.copy(raster, vrt, driver='VRT')
    first, second = vrt.read_text().split('<NoDataValue>5</NoDataValue>', 1)
    vrt.write_text(f'{first}<NoDataValue>7</NoDataValue>{second}')
    values = read_window(vrt, (1, 2), nodata_to_nan=True)
    np.testing.assert_array_equal(np.isnan(values), pixels == (7, 5))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(('count', 'alpha'), [(2, 2), (4, 4), (5, 5), (3, 2), (3, 1)])
def test_an_alpha_band_of_any_type_and_place_leaves_out_what_is_all_transparent(
    tmp_path, dtype, count, alpha
):
    pixels = np.stack([VALUES] * count, -1).astype(dtype)
    pixels[..., alpha - 1] = np.where(LEFT_OUT, 0, 255)
    pixels[0, 0, alpha - 1] = 1  # nearly transparent, and yet there
    path = masked_raster(tmp_path / 'a.tif', pixels, alpha=alpha)
    assert read_info(path).alpha == (alpha,)
    others = read_info(path).data_bands
    assert len(others) == count - 1 and alpha not in others
    np.testing.assert_array_equal(valid_of(path, others), ~LEFT_OUT)
    assert read_mask(path, range(1, count + 1)).all()  # a band like others, if it is asked for
    assert read_with_validity(path, (alpha,))[1].all()


def test_alpha_and_a_mask_and_nodata_all_leave_pixels_out(tmp_path):
    pixels = np.stack([VALUES, np.where(VALUES == 2, 0, 0.001)], -1).astype(np.float32)
    options = {'alpha': 2, 'mask': ~LEFT_OUT, 'nodata': 5}
    path = masked_raster(tmp_path / 'a.tif', pixels, **options)
    np.testing.assert_array_equal(valid_of(path), ~LEFT_OUT & (VALUES != 5) & (VALUES != 2))


@pytest.mark.parametrize('nodata', [None, np.nan])
@pytest.mark.parametrize('mask', [None, ~LEFT_OUT])
def test_nan_and_infinite_values_are_no_data(tmp_path, nodata, mask):
    pixels = VALUES.astype(np.float32)
    pixels[0, :2] = np.nan, np.inf
    path = masked_raster(tmp_path / 'a.tif', pixels, nodata=nodata, mask=mask)
    expected = np.isfinite(pixels) & (True if mask is None else mask)
    values = read_window(path, (1,), nodata_to_nan=True)[..., 0]
    np.testing.assert_array_equal(values, np.where(expected, pixels, np.nan))
    np.testing.assert_array_equal(read_with_validity(path, (1,))[1], expected)


def test_a_band_is_data_where_another_one_is_not(tmp_path):
    pixels = np.stack([VALUES, VALUES], -1).astype(np.float32)
    pixels[0, 0, 0] = pixels[1, 1, :] = np.nan
    path = write_raster(tmp_path / 'a.tif', pixels)
    assert [tuple(place) for place in np.argwhere(~valid_of(path, (1, 2)))] == [(1, 1)]


def test_validity_is_continued_by_the_edge_as_the_values_are(tmp_path):
    path = masked_raster(tmp_path / 'a.tif', VALUES.astype(np.uint8), mask=VALUES != 4)
    values, valid = read_with_validity(path, (1,), Window(0, 3, 3, 2), (3, 5))
    np.testing.assert_array_equal(values[..., 0], VALUES[:, [3, 3]])
    np.testing.assert_array_equal(valid, [[False, False], [True, True], [True, True]])


def test_bands_of_several_types_are_read_as_one_that_holds_them(tmp_path):
    first = write_raster(tmp_path / 'a.tif', VALUES.astype(np.uint8))
    second = write_raster(tmp_path / 'b.tif', VALUES.astype(np.float32) / 2)
    band = (
        '<VRTRasterBand dataType="{}"><SimpleSource><SourceFilename>{}</SourceFilename>'
        '</SimpleSource></VRTRasterBand>'
    )
    bands = band.format('Byte', first) + band.format('Float32', second)
    path = tmp_path / 'a.vrt'
    path.write_text(f'<VRTDataset rasterXSize="4" rasterYSize="3">{bands}</VRTDataset>')
    assert read_info(path).dtypes == ('uint8', 'float32') and read_info(path).dtype == 'float32'
    values = read_window(path, (2, 1))
    np.testing.assert_array_equal(values, np.stack([VALUES / 2, VALUES], -1))
    assert read_window(path, (1,)).dtype == np.uint8


def heights_in_centimetres(path, **profile):
    """100.05 .. 100.6 m as int16, without data where 7 is stored."""
    stored = (np.arange(1, 13, dtype=np.int16) * 5).reshape(3, 4)
    stored[2, 3] = 7
    write_raster(path, np.stack([stored, stored * 2], -1), nodata=7, **profile)
    with rasterio.open(path, 'r+') as raster:
        raster.scales, raster.offsets = (0.01, 1.0), (100.0, 0.0)
    metres = np.stack([stored * 0.01 + 100, stored * 2.0], -1).astype(np.float32)
    metres[stored == 7, 0] = np.nan
    return metres


def test_auxiliary_values_are_in_the_unit_that_the_file_states(tmp_path):
    path = tmp_path / 'a.tif'
    metres = heights_in_centimetres(path)
    grid = read_info(path)
    for bands in ((1,), (2, 1)):
        expected = metres[..., [band - 1 for band in bands]]
        found = read_window(path, bands, measured=True)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
        with warped_values(grid, grid, bands) as warped:
            np.testing.assert_array_equal(warped.read(Window(0, 0, 3, 4)), expected)
    np.testing.assert_array_equal(
        read_window(path, (1,))[0, :, 0], [5, 10, 15, 20]
    )  # as it is stored
    img = write_raster(tmp_path / 'img.tif', np.full((3, 4), 9, np.uint8))
    with rasterio.open(img, 'r+') as raster:
        raster.scales = (0.1,)
    stack = read_stack(img, path, img_bands=(1,), aux_bands=(1,), aux_range=(100, 101))
    assert (stack[..., 0] == 9).all()  # the mean of a config is of stored numbers
    np.testing.assert_allclose(stack[0, :, 1], [0.05, 0.1, 0.15, 0.2], atol=1e-5)
    assert stack[2, 3, 1] == 0


def stacked_vrt(path, bands, source):
    """A VRT of (type, nodata) bands, all of them the first one of a source."""
    shown = ''.join(
        f'<VRTRasterBand dataType="{kind}" band="{number}">'
        + ('' if nodata is None else f'<NoDataValue>{nodata}</NoDataValue>')
        + f'<SimpleSource><SourceFilename relativeToVRT="1">{source.name}</SourceFilename>'
        '<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>'
        for number, (kind, nodata) in enumerate(bands, 1)
    )
    place = ', '.join(map(str, read_info(source).transform.to_gdal()))
    path.write_text(
        '<VRTDataset rasterXSize="4" rasterYSize="3"><SRS>EPSG:32633</SRS>'
        f'<GeoTransform>{place}</GeoTransform>{shown}</VRTDataset>'
    )
    return path


@pytest.mark.parametrize(
    'bands',
    [
        [('Byte', None), ('Float32', 5)],
        [('Float32', 5), ('Byte', 6)],
        [('Int16', 3), ('UInt16', 4), ('Float64', None)],
        [('Byte', 'nan'), ('Byte', 5)],
    ],
)
@pytest.mark.parametrize('resampling', [Resampling.nearest, Resampling.bilinear])
def test_each_band_has_its_own_type_and_nodata_warped_too(tmp_path, bands, resampling):
    source = write_raster(tmp_path / 'source.tif', VALUES.astype(np.uint8))
    path = stacked_vrt(tmp_path / 'mixed.vrt', bands, source)
    numbers = tuple(range(1, len(bands) + 1))
    expected = np.stack([VALUES.astype(float)] * len(bands), -1)
    for channel, (_, nodata) in enumerate(bands):
        if nodata is not None:
            expected[..., channel][float(nodata) == VALUES] = np.nan
    np.testing.assert_array_equal(read_window(path, numbers, measured=True), expected)
    grid = read_info(path)
    for asked in (numbers, numbers[::-1], numbers[-1:]):
        with warped_values(grid, grid, asked, resampling) as warped:
            found = warped.read(Window(0, 0, 3, 4))
        np.testing.assert_array_equal(found, expected[..., [band - 1 for band in asked]])


def test_a_real_band_beside_complex_ones_is_read(tmp_path):
    source = write_raster(tmp_path / 'source.tif', VALUES.astype(np.uint8))
    path = stacked_vrt(tmp_path / 'slc.vrt', [('Float32', None), ('CFloat32', None)], source)
    np.testing.assert_array_equal(read_window(path, (1,), measured=True)[..., 0], VALUES)
    grid = read_info(path)
    with warped_values(grid, grid, (1,)) as warped:
        np.testing.assert_array_equal(warped.read(Window(0, 0, 3, 4))[..., 0], VALUES)
    with pytest.raises(ValueError, match=r'slc\.vrt holds complex64 numbers'):
        read_window(path, (1, 2))


FILLS = [-3.4028235e38, 9.96921e36, 1e20]


@pytest.mark.parametrize('fill', FILLS)
@pytest.mark.parametrize('dtype', ['float32', 'float64'])
def test_a_value_beyond_any_scale_is_no_data_and_said_once(tmp_path, monkeypatch, fill, dtype):
    said = []
    monkeypatch.setattr(windows, 'print_log', lambda text, **_: said.append(text))
    pixels = np.arange(24, dtype=dtype).reshape(2, 4, 3)
    pixels[0, 1] = fill
    pixels[1, 2, 0] = fill
    path = write_raster(tmp_path / 'a.tif', pixels)
    for _ in range(2):
        values, valid = read_with_validity(path, (1, 2))
    assert np.argwhere(~valid).tolist() == [[0, 1]]
    assert np.argwhere(np.isnan(values)).tolist() == [[0, 1, 0], [0, 1, 1], [1, 2, 0]]
    assert len(said) == 1 and f'a.tif holds {fill:.6g}, which is taken for no data' in said[0]
    assert aux_ranges([str(path)], (1, 2), 'tile', keep=False)[0][:2] == ((0, 1), (21, 22))


@pytest.mark.parametrize('fill', FILLS)
def test_a_value_beyond_any_scale_that_is_declared_is_not_said(tmp_path, monkeypatch, fill):
    monkeypatch.setattr(windows, 'print_log', lambda *_, **__: pytest.fail('said'))
    pixels = np.float32([[1, fill], [np.inf, 1e17]])
    path = write_raster(tmp_path / 'a.tif', pixels, nodata=np.float32(fill))
    values = read_window(path, (1,), nodata_to_nan=True)[..., 0]
    np.testing.assert_array_equal(values, np.float32([[1, np.nan], [np.nan, 1e17]]))


def test_integers_have_no_value_beyond_a_scale(tmp_path):
    pixels = np.array([[2**62, -(2**62)]])
    path = write_raster(tmp_path / 'a.tif', pixels)
    assert read_with_validity(path, (1,))[1].all()
