import threading
import tracemalloc

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from rasterio.transform import Affine, from_origin
from rasterio.vrt import WarpedVRT
from scenes.rasters import random_tile, write_raster
from scenes.reading import (
    BANDS,
    EAST,
    FIXED,
    LAYOUTS,
    NORTH,
    SHAPE,
    heights,
    optical,
    pair_of,
    place,
    plane,
    read_all,
    read_rows,
    stacked,
)

from mobanet_mmseg.inference import reading
from mobanet_mmseg.modalities import Scaling
from mobanet_mmseg.rasters import warping
from mobanet_mmseg.rasters import windows as rasters
from mobanet_mmseg.rasters.windows import read_window
from mobanet_mmseg.tiling.windows import Window


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


@pytest.mark.parametrize('aux_range', [(30, 60), None])
def test_where_the_auxiliary_raster_has_no_data_it_is_what_it_was_in_training(tmp_path, aux_range):
    pixels = np.dstack([random_tile(SHAPE)[1]] * 2)
    pixels[5:9, 7:20, 0], pixels[30, 2, 1] = -9999, np.inf
    img, dsm = optical(tmp_path), heights(tmp_path, pixels, nodata=-9999)
    settings = {'img_bands': (1,), 'aux_bands': (1, 2), 'aux_fill': (0.25, -2.0)}
    for aux in (dsm, None):
        stack, _ = read_all(img, aux, 5, **settings, aux_range=aux_range)
        expected = stacked(img, aux, **settings, aux_range=aux_range and Scaling(*aux_range))
        np.testing.assert_array_equal(stack, expected)
        assert (stack[1, 5:9, 7:20] == 0.25).all() and stack[2, 30, 2] == -2
    assert (stack[1] == 0.25).all() and (stack[2] == -2).all()
    half = heights(tmp_path, np.full((37, 20), 45, np.float32), transform=place(0.5))
    settings.update(aux_bands=(1,), aux_fill=0.25, aux_range=(30, 60))
    assert set(read_all(img, half, 5, **settings)[0][1].ravel().tolist()) == {0.5, 0.25}


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
