import os
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from scenes.rasters import random_tile, write_raster

from mobanet_mmseg.rasters import files as raster_files
from mobanet_mmseg.rasters import windows
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.grids import check_sizes
from mobanet_mmseg.rasters.windows import (
    chunks,
    read_stack,
    read_window,
)

SHAPE = (37, 53)
WINDOWS = [(0, 0, 5, 7), (11, 20, 16, 9), (36, 0, 1, 53), (30, 46, 7, 7), (0, 52, 37, 1), None]
LAYOUTS = {
    'stripped': {},
    'strips of five rows': {'blockysize': 5},
    'one band after the other': {'interleave': 'band'},
    'tiled': {'tiled': True, 'blockxsize': 16, 'blockysize': 32},
    'tiled and compressed': {
        'tiled': True,
        'blockxsize': 32,
        'blockysize': 16,
        'compress': 'deflate',
    },
    'compressed strips': {'compress': 'lzw'},
    'big endian': {'endianness': 'big'},
    'sparse': {'sparse_ok': True},
}


def cut(pixels, window):
    row, col, height, width = window or (0, 0, *pixels.shape[:2])
    return pixels[row : row + height, col : col + width]


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('window', WINDOWS)
def test_a_window_equals_the_same_part_of_the_whole(tmp_path, layout, window):
    optical, heights, _ = random_tile(SHAPE)
    img = write_raster(tmp_path / 'img.tif', optical, **LAYOUTS[layout])
    dsm = write_raster(tmp_path / 'dsm.tif', heights, **LAYOUTS[layout])
    np.testing.assert_array_equal(read_window(img, (1, 2, 3), window), cut(optical, window))
    np.testing.assert_array_equal(read_window(dsm, (1,), window)[..., 0], cut(heights, window))


def test_a_sparse_raster_reads_as_zeros(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.zeros(SHAPE, np.float32), sparse_ok=True)
    assert path.stat().st_size < 37 * 53 * 4
    assert not read_window(path, (1,), (3, 4, 5, 6)).any()


@pytest.mark.parametrize('short', [(0, 1), (1, 0), (1, 1), (0, -1), (-1, 0), (-1, 1)])
@pytest.mark.parametrize('window', WINDOWS)
def test_a_raster_short_by_an_edge_is_continued_and_a_larger_one_is_cropped(
    tmp_path, short, window
):
    heights = random_tile((37 - short[0], 53 - short[1]))[1]
    path = write_raster(tmp_path / 'dsm.tif', heights)
    fitted = np.pad(heights, [(0, max(0, n)) for n in short], mode='edge')[:37, :53]
    read = read_window(path, (1,), window, SHAPE)
    np.testing.assert_array_equal(read[..., 0], cut(fitted, window))


@pytest.mark.parametrize('layout', LAYOUTS)
def test_a_stack_is_the_same_by_windows_and_whole(tmp_path, layout):
    optical, heights, _ = random_tile(SHAPE)
    img = write_raster(tmp_path / 'img.tif', optical, **LAYOUTS[layout])
    dsm = write_raster(tmp_path / 'dsm.tif', heights[:, :-1], **LAYOUTS[layout])
    settings = {'img_bands': (3, 1), 'aux_bands': (1,), 'aux_range': (30, 60)}
    whole = read_stack(img, dsm, **settings)
    np.testing.assert_array_equal(whole[..., :2], optical[..., [2, 0]])
    np.testing.assert_allclose(whole[:, :-1, 2], (heights[:, :-1] - 30) / 30, atol=1e-6)
    np.testing.assert_array_equal(whole[:, -1, 2], whole[:, -2, 2])
    for window in WINDOWS:
        part = read_stack(img, dsm, **settings, window=window)
        assert part.dtype == np.float32
        np.testing.assert_array_equal(part, cut(whole, window))


@pytest.mark.parametrize('multiple', [1, 5])
@pytest.mark.parametrize('layout', LAYOUTS)
def test_chunks_cover_each_row_once_within_the_bound(tmp_path, monkeypatch, layout, multiple):
    path = write_raster(tmp_path / 'a.tif', random_tile((370, 53))[1], **LAYOUTS[layout])
    monkeypatch.setattr(windows, 'CHUNK_BYTES', 53 * 4 * 40)
    found = list(chunks(read_info(path), multiple))
    assert [row for chunk in found for row in range(chunk.row, chunk.bottom)] == [*range(370)]
    assert {(chunk.col, chunk.width) for chunk in found} == {(0, 53)}
    assert all(chunk.height <= 40 and chunk.row % multiple == 0 for chunk in found)
    if layout == 'tiled' and multiple == 1:
        assert all(chunk.row % 32 == 0 for chunk in found)


def test_a_chunk_has_the_rows_that_it_must_have_whatever_the_bound(tmp_path, monkeypatch):
    path = write_raster(tmp_path / 'a.tif', random_tile((37, 53))[1])
    monkeypatch.setattr(windows, 'CHUNK_BYTES', 1)
    assert [chunk.height for chunk in chunks(read_info(path), 10)] == [10, 10, 10, 7]


def test_without_auxiliary_bands_the_optical_image_is_alone(tmp_path):
    optical, heights, _ = random_tile(SHAPE)
    img = write_raster(tmp_path / 'img.tif', optical)
    dsm = write_raster(tmp_path / 'dsm.tif', heights)
    settings = {'img_bands': (1, 2, 3), 'aux_range': None}
    for aux in (None, dsm):
        np.testing.assert_array_equal(read_stack(img, aux, **settings, aux_bands=()), optical)
    zeros = read_stack(img, None, **settings, aux_bands=(1, 2))
    assert zeros.shape == (*SHAPE, 5) and not zeros[..., 3:].any()


def test_the_header_is_told(tmp_path):
    path = write_raster(tmp_path / 'a.tif', random_tile(SHAPE)[1], nodata=-1)
    info = read_info(path)
    assert (info.height, info.width, info.count, info.dtype) == (37, 53, 1, 'float32')
    assert info.crs.to_epsg() == 32633 and info.transform.a == 0.05 and info.nodata == (-1,)


def test_a_rewritten_file_is_read_anew(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.full((2, 3), 1, np.uint8))
    assert read_window(path, (1,)).max() == 1
    write_raster(path, np.full((2, 3), 9, np.uint8))
    os.utime(path, ns=(1, 1))
    assert read_window(path, (1,)).min() == 9


def test_open_files_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(raster_files, 'MAX_OPEN', 2)
    raster_files._handles.items.clear()
    paths = [write_raster(tmp_path / f'{i}.tif', np.full((2, 3), i, np.uint8)) for i in range(4)]
    first = raster_files.open_raster(paths[0])
    for _ in range(2):
        assert [read_window(path, (1,)).max() for path in paths] == [0, 1, 2, 3]
    assert len(raster_files._handles.items) == 2 and first.dataset.closed


def handle_id(path):
    return id(raster_files.open_raster(path).dataset), os.getpid()


def read_sum(path):
    return int(read_window(path, (1, 2, 3), (3, 4, 20, 30)).sum())


def test_a_forked_process_and_a_thread_open_their_own_files(tmp_path):
    path = write_raster(tmp_path / 'a.tif', random_tile(SHAPE)[0])
    mine = handle_id(path)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(handle_id, path).result()[0] != mine[0]
    with ProcessPoolExecutor(1, mp_context=get_context('fork')) as pool:
        assert pool.submit(len_of_handles_after_open, path).result() == 1
        assert pool.submit(read_sum, path).result() == read_sum(path)
    assert handle_id(path) == mine


def len_of_handles_after_open(path):
    inherited = raster_files._handles.items
    raster_files.open_raster(path)
    assert raster_files._handles.items is not inherited
    return len(raster_files._handles.items)


def truncated(path, optical, **profile):
    write_raster(path, optical, **profile)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - 300])


@pytest.mark.parametrize(
    'layout', ['stripped', 'one band after the other', 'tiled', 'compressed strips']
)
def test_a_truncated_raster_is_never_read(tmp_path, layout):
    path = tmp_path / 'cut.tif'
    truncated(path, random_tile(SHAPE)[0], **LAYOUTS[layout])
    with pytest.raises(ValueError, match=f'{path} is truncated: .* copy or download it again'):
        read_window(path, (1, 2, 3), (0, 0, 2, 2))


def test_a_raster_whose_first_rows_come_last_and_are_cut_off_is_never_read(tmp_path):
    heights = random_tile((370, 53))[1]
    lower = np.where(np.arange(370)[:, None] >= 180, heights, 0)
    path = write_raster(tmp_path / 'a.tif', lower, sparse_ok=True, blockysize=10)
    with rasterio.open(path, 'r+') as raster:
        raster.write(heights[:180], 1, window=((0, 180), (0, 53)))
    np.testing.assert_array_equal(read_window(path, (1,))[..., 0], heights)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - 5000])
    with pytest.raises(ValueError, match=f'{path} is damaged at .* copy or download it again'):
        read_window(path, (1,), (100, 0, 80, 53))


@pytest.mark.parametrize(
    ('content', 'said'),
    [
        (b'', 'is empty .0 bytes.'),
        (b'<!DOCTYPE html><html><body>log in</body></html>', 'is a web page'),
        (b'hello', 'cannot be read as a raster .GDAL says'),
    ],
)
def test_what_is_no_raster_is_refused_with_its_name(tmp_path, content, said):
    path = tmp_path / 'a.tif'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f'{path} {said}'):
        read_info(path)


def test_a_missing_file_and_a_folder_are_refused_with_their_names(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(f'{tmp_path}/a.tif does not exist')):
        read_info(tmp_path / 'a.tif')
    with pytest.raises(ValueError, match=f'{tmp_path} is a folder'):
        read_info(tmp_path)


@pytest.mark.parametrize('bands', [(1, 2, 4), (0,), ()])
def test_a_band_that_is_not_there_is_refused(tmp_path, bands):
    path = write_raster(tmp_path / 'a.tif', random_tile(SHAPE)[0])
    with pytest.raises(ValueError, match=rf'{path} has 3 band\(s\), but .* are asked for'):
        read_window(path, bands)


def test_complex_numbers_are_refused(tmp_path):
    path = write_raster(tmp_path / 'sar.tif', np.ones((2, 3), np.complex64))
    with pytest.raises(ValueError, match=r'sar\.tif holds complex64 numbers'):
        read_window(path, (1,))


def test_complex_integers_are_refused(tmp_path):
    path = write_raster(tmp_path / 'sar.tif', np.ones((2, 3), np.complex64), dtype='complex_int16')
    with pytest.raises(ValueError, match=r'sar\.tif holds complex64 numbers'):
        read_window(path, (1,))
    assert len(list(chunks(read_info(path)))) == 1


@pytest.mark.parametrize('window', [(-1, 0, 5, 5), (33, 0, 5, 5), (0, 50, 5, 5), (0, 0, 0, 5)])
def test_a_window_that_leaves_the_raster_is_refused(tmp_path, window):
    path = write_raster(tmp_path / 'a.tif', random_tile(SHAPE)[0])
    with pytest.raises(ValueError, match=r'leaves .*a\.tif of 37 x 53 pixels'):
        read_window(path, (1,), window)


@pytest.mark.parametrize('shape', [(35, 53), (37, 51), (37, 55), (53, 37)])
def test_rasters_that_differ_by_more_than_an_edge_are_refused_with_both_names(tmp_path, shape):
    img = write_raster(tmp_path / 'img.tif', random_tile(SHAPE)[0])
    dsm = write_raster(tmp_path / 'dsm.tif', random_tile(shape)[1])
    said = f'{dsm} has {shape[0]} x {shape[1]} pixels and {img} 37 x 53; they may differ by 1'
    with pytest.raises(ValueError, match=said):
        read_stack(img, dsm, img_bands=(1, 2, 3), aux_bands=(1,), aux_range=None)
    with pytest.raises(ValueError, match=said):
        check_sizes(read_info(dsm), read_info(img))
    with pytest.raises(ValueError, match='but 37 x 53 are expected'):
        read_window(dsm, (1,), None, SHAPE)
