import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from scenes.rasters import write_raster

from mobanet_mmseg.modalities import Scaling
from mobanet_mmseg.rasters import ranges, windows
from mobanet_mmseg.rasters.files import close_rasters
from mobanet_mmseg.rasters.ranges import (
    STATISTICS_FILE,
    aux_ranges,
    band_percentiles,
    find_scaling,
)
from mobanet_mmseg.rasters.windows import read_stack

HEIGHTS = np.array([[-9999, 31.5, 40], [np.nan, 60.25, np.inf]], np.float32)
OF_HEIGHTS = Scaling((31.5,), (60.25,))


@pytest.fixture(autouse=True)
def forgetful(monkeypatch):
    """Each test begins as a new process does."""
    monkeypatch.setattr(ranges, '_known', {})


@pytest.fixture
def computed(monkeypatch):
    """Names of the rasters whose pixels were read."""
    names = []
    compute = ranges._compute

    def listed(path):
        names.append(Path(path).name)
        return compute(path)

    monkeypatch.setattr(ranges, '_compute', listed)
    return names


def as_new_process():
    ranges._known.clear()


def test_the_range_leaves_out_nodata_nan_and_inf(tmp_path):
    path = write_raster(tmp_path / 'a.tif', HEIGHTS, nodata=-9999)
    assert aux_ranges([path], (1,), 'tile') == [OF_HEIGHTS]


def test_bands_keep_their_own_range_and_their_order(tmp_path):
    aux = np.stack([HEIGHTS, HEIGHTS[::-1] * 2], axis=-1)
    aux[~np.isfinite(aux) | (aux < 0)] = 50
    path = write_raster(tmp_path / 'a.tif', aux)
    assert aux_ranges([path], (2, 1), 'tile') == [Scaling((50, 31.5), (120.5, 60.25))]


def test_a_raster_read_in_many_chunks_has_the_range_of_the_whole(tmp_path, monkeypatch):
    heights = np.random.default_rng(0).normal(size=(41, 23)).astype(np.float32)
    path = write_raster(tmp_path / 'a.tif', heights)
    monkeypatch.setattr(windows, 'CHUNK_BYTES', 23 * 4 * 3)
    assert aux_ranges([path], (1,), 'tile') == [Scaling((heights.min(),), (heights.max(),))]


def test_a_second_run_reads_no_pixels(tmp_path, computed):
    paths = [write_raster(tmp_path / f'{n}.tif', HEIGHTS * n, nodata=-9999) for n in (1, 2)]
    first = aux_ranges(paths, (1,), 'tile')
    assert computed == ['1.tif', '2.tif']
    as_new_process()
    for path in paths:  # the pixels go, the header, size and time stay
        stat = path.stat()
        content = bytearray(path.read_bytes())
        content[-24:] = bytes(24)
        path.write_bytes(content)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert aux_ranges(paths, (1,), 'tile') == first and len(computed) == 2


def test_only_what_is_new_or_changed_is_computed(tmp_path, computed):
    paths = [write_raster(tmp_path / f'{n}.tif', HEIGHTS * n) for n in (1, 2)]
    aux_ranges(paths[:1], (1,), 'tile')
    as_new_process()
    aux_ranges(paths, (1,), 'tile')
    assert computed == ['1.tif', '2.tif']
    as_new_process()
    write_raster(paths[0], HEIGHTS * 4)
    os.utime(paths[0], ns=(1, 1))
    assert aux_ranges(paths, (1,), 'tile')[0].high == (241,) and computed == [
        '1.tif',
        '2.tif',
        '1.tif',
    ]
    assert set(json.loads((tmp_path / STATISTICS_FILE).read_text())) == {'1.tif', '2.tif'}


@pytest.mark.parametrize(
    'content', ['', '{"a.tif": ', '[]', '{"a.tif": 3}', '{"a.tif": {"min": []}}']
)
def test_a_corrupt_file_is_computed_again(tmp_path, computed, content):
    path = write_raster(tmp_path / 'a.tif', HEIGHTS, nodata=-9999)
    (tmp_path / STATISTICS_FILE).write_text(content)
    assert aux_ranges([path], (1,), 'tile') == [OF_HEIGHTS]
    as_new_process()
    assert aux_ranges([path], (1,), 'tile') == [OF_HEIGHTS] and len(computed) == 1


def test_a_folder_in_the_place_of_the_statistics_is_named(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(ranges, 'print_log', lambda text, **_: said.append(text))
    (tmp_path / 'aux_statistics.json').mkdir()
    path = write_raster(tmp_path / 'a.tif', HEIGHTS, nodata=-9999)
    assert aux_ranges([path], (1,), 'tile') == [OF_HEIGHTS]
    assert len(said) == 1 and 'aux_statistics.json could not be written (it is a folder)' in said[0]


def test_a_folder_that_cannot_be_written_warns_once_and_goes_on(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(ranges, 'print_log', lambda text, **_: said.append(text))

    def full_disk(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'replace', full_disk)
    paths = [write_raster(tmp_path / f'{n}.tif', HEIGHTS * n, nodata=-9999) for n in (1, 2)]
    assert aux_ranges(paths[:1], (1,), 'tile')[0].low == (31.5,)
    assert aux_ranges(paths[1:], (1,), 'tile')[0].high == (120.5,)
    assert len(said) == 1 and 'No space left on device' in said[0] and str(tmp_path) in said[0]
    assert said[0].endswith('Until then the ranges of the auxiliary rasters are computed again '
                            'in each run.')  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ['1.tif', '2.tif']


def test_an_interrupted_run_keeps_what_it_has(tmp_path, monkeypatch, computed):
    paths = [write_raster(tmp_path / f'{n}.tif', HEIGHTS * n) for n in (1, 2)]
    compute = ranges._compute

    def interrupted(path):
        if path.endswith('2.tif'):
            raise KeyboardInterrupt
        return compute(path)

    monkeypatch.setattr(ranges, '_compute', interrupted)
    with pytest.raises(KeyboardInterrupt):
        aux_ranges(paths, (1,), 'tile')
    assert list(json.loads((tmp_path / STATISTICS_FILE).read_text())) == ['1.tif']


@pytest.mark.parametrize(
    ('heights', 'said'),
    [
        (np.full((3, 4), -9999, np.float32), 'holds no valid value in band 1'),
        (np.full((3, 4), np.nan, np.float32), 'holds no valid value in band 1'),
        (np.full((3, 4), 7, np.float32), 'is constant in band 1 .all valid values are 7.0.'),
    ],
)
def test_a_raster_without_a_range_is_refused_with_its_name(tmp_path, heights, said):
    path = write_raster(tmp_path / 'dsm.tif', heights, nodata=-9999)
    for _ in range(2):  # computed, then known
        with pytest.raises(ValueError, match=f'{path} {said}'):
            aux_ranges([path], (1,), 'tile')
        as_new_process()


def test_a_range_is_each_tiles_own_or_one_for_all_or_none(tmp_path, computed):
    paths = [write_raster(tmp_path / f'{n}.tif', HEIGHTS * n, nodata=-9999 * n) for n in (1, 2)]
    assert aux_ranges(paths, (1,), (0, 90)) == [Scaling(0, 90)] * 2
    assert aux_ranges(paths, (1,), None) == [None, None] and not computed
    tile = aux_ranges(paths, (1,), 'tile')
    assert tile == [OF_HEIGHTS, Scaling((63,), (120.5,))]


@pytest.mark.parametrize('aux_range', ['tiles', (3, 3), (1, 2, 3)])
def test_another_range_is_refused(aux_range):
    with pytest.raises(ValueError, match="give 'tile', a pair"):
        aux_ranges([], (1,), aux_range)


def test_what_is_not_to_be_kept_leaves_no_file(tmp_path):
    path = write_raster(tmp_path / 'a.tif', HEIGHTS, nodata=-9999)
    assert aux_ranges([path], (1,), 'tile', keep=False) == [OF_HEIGHTS]
    assert not (tmp_path / STATISTICS_FILE).exists()


HUNDRED = np.arange(1, 101, dtype=np.float32).reshape(4, 25)  # metres: the p-th percentile is p


@pytest.mark.parametrize('dtype', [np.float32, np.float64, np.int16, np.uint8])
def test_percentiles_are_values_of_the_raster(tmp_path, dtype):
    path = write_raster(tmp_path / 'a.tif', HUNDRED.astype(dtype))
    expected = {0: [1.0], 1: [1.0], 2.5: [3.0], 50: [50.0], 99: [99.0], 100: [100.0]}
    assert band_percentiles(str(path), list(expected)) == expected


def test_percentiles_equal_those_of_sorting_for_negative_and_huge_values(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, 'CHUNK_BYTES', 23 * 2 * 4 * 3)  # many chunks
    rng = np.random.default_rng(0)
    aux = rng.normal(0, 50, (41, 23, 2)).astype(np.float32)
    aux[0, 0], aux[7, 3], aux[2, 5] = 1e17, -1e6, -0.0
    aux[3, :, 1] = -9999
    path = write_raster(tmp_path / 'a.tif', aux, nodata=-9999)
    found = band_percentiles(str(path), (2, 50, 97))
    for percentage, values in found.items():
        for band, value in enumerate(values):
            valid = aux[..., band][aux[..., band] != -9999]
            assert value == np.percentile(valid, percentage, method='inverted_cdf')


def test_a_band_without_values_has_no_percentiles(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.full((3, 4), np.nan, np.float32))
    assert band_percentiles(str(path), (1, 99)) == {1: [None], 99: [None]}


def test_an_outlier_of_a_million_metres_leaves_the_percentiles_where_they_are(tmp_path):
    heights = np.tile(HUNDRED, (4, 1))
    heights[0, 0] = 1e6
    path = write_raster(tmp_path / 'a.tif', heights)
    assert aux_ranges([path], (1,), 'tile') == [Scaling((1.0,), (1e6,))]
    assert aux_ranges([path], (1,), ('percentile', 1, 99)) == [Scaling((2.0,), (100.0,), clip=True)]


def test_values_that_are_read_in_chunks_are_scaled_as_those_of_a_raster(tmp_path):
    aux = np.stack([HUNDRED, HUNDRED[::-1] * 2], axis=-1)
    path = write_raster(tmp_path / 'a.tif', aux)
    for aux_range in ('tile', ('percentile', 2, 50), (1, 9), (1, 9, True), None):
        (expected,) = aux_ranges([path], (2,), aux_range)
        chunks = [aux[:1, :, 1:], aux[1:, :, 1:]]
        assert find_scaling(lambda chunks=chunks: chunks, 'a', (2,), aux_range) == expected
    with pytest.raises(ValueError, match='the mosaic is constant in band 2'):
        find_scaling(lambda: [aux[:1, :1, 1:]], 'the mosaic', (2,), 'tile')
    with pytest.raises(ValueError, match='the mosaic holds no valid value in band 2'):
        find_scaling(lambda: [], 'the mosaic', (2,), ('percentile', 1, 99))


def test_values_beyond_the_percentiles_are_clipped(tmp_path):
    aux = write_raster(tmp_path / 'aux.tif', HUNDRED)
    img = write_raster(tmp_path / 'img.tif', np.zeros((4, 25), np.uint8))
    (limits,) = aux_ranges([aux], (1,), ['percentile', 10, 60])  # a list, as from JSON or YAML
    stack = read_stack(img, aux, img_bands=(1,), aux_bands=(1,), aux_range=limits)
    np.testing.assert_allclose(stack[..., 1], ((HUNDRED - 10) / 50).clip(0, 1), atol=1e-6)


def test_percentiles_are_kept_beside_the_range_and_read_again(tmp_path, computed, monkeypatch):
    read = []
    compute = ranges.band_percentiles
    monkeypatch.setattr(
        ranges, 'band_percentiles', lambda *args: read.append(args[1]) or compute(*args)
    )
    path = write_raster(tmp_path / 'a.tif', HUNDRED)
    aux_ranges([path], (1,), 'tile')
    for _ in range(2):
        as_new_process()
        aux_ranges([path], (1,), ('percentile', 2, 98))
        aux_ranges([path], (1,), ('percentile', 0.5, 99.5))
        assert aux_ranges([path], (1,), 'tile') == [Scaling((1.0,), (100.0,))]
    assert computed == ['a.tif'] and read == [(2, 98), (0.5, 99.5)]
    entry = json.loads((tmp_path / STATISTICS_FILE).read_text())['a.tif']
    assert entry['percentiles'] == {'2': [2.0], '98': [98.0], '0.5': [1.0], '99.5': [100.0]}


def test_a_raster_whose_percentiles_are_one_value_is_refused(tmp_path):
    heights = np.zeros((10, 20), np.float32)
    heights[0, 0] = 9
    path = write_raster(tmp_path / 'a.tif', heights)
    with pytest.raises(ValueError, match=r'constant in band 1 \(its percentiles \(1, 99\) are 0'):
        aux_ranges([path], (1,), ('percentile', 1, 99))


@pytest.mark.parametrize(
    'aux_range', [('percentile',), ('percentile', 99, 1), ('percentile', 1, 101), ('percentil', 1)]
)
def test_other_percentiles_are_refused(aux_range):
    with pytest.raises(ValueError, match=r"\('percentile', 1, 99\)"):
        aux_ranges([], (1,), aux_range)


ENTRY = {'min': [31.5], 'max': [60.25]}


@pytest.mark.parametrize(
    'forged',
    [
        {'min': ['a']},
        {'min': 31.5},
        {'min': [float('nan')]},
        {'max': [float('inf')]},
        {'max': [10**400]},
        {'max': [60.25, 61]},
        {'min': [True]},
        {'min': [70]},
        {'min': [None]},
        {'percentiles': 5},
        {'percentiles': {'0': [1], '100': [[2]]}},
        {'percentiles': {'0': 1, '100': 2}},
    ],
)
@pytest.mark.parametrize('aux_range', ['tile', ('percentile', 0, 100)])
def test_an_entry_that_cannot_be_ours_is_computed_again(tmp_path, forged, aux_range):
    path = write_raster(tmp_path / 'a.tif', HEIGHTS, nodata=-9999)
    entry = ranges._fingerprint(str(path)) | ENTRY | forged
    (tmp_path / STATISTICS_FILE).write_text(json.dumps({'a.tif': entry}))
    (found,) = aux_ranges([path], (1,), aux_range)
    assert found[:2] == OF_HEIGHTS[:2]


@pytest.mark.parametrize('content', ['[' * 100_000, '{"a.tif": ' + '[' * 50_000, '9' * 5000])
def test_a_file_that_json_cannot_read_is_computed_again(tmp_path, content):
    path = write_raster(tmp_path / 'a.tif', HEIGHTS, nodata=-9999)
    (tmp_path / STATISTICS_FILE).write_text(content)
    assert aux_ranges([path], (1,), 'tile') == [OF_HEIGHTS]


def test_ranges_are_in_the_unit_that_the_file_states_and_follow_it(tmp_path):
    path = write_raster(tmp_path / 'a.tif', np.array([[0, 200], [5000, 7]], np.int16), nodata=7)
    assert aux_ranges([path], (1,), 'tile') == [Scaling((0,), (5000,))]
    time = path.stat()
    for scale, offset in ((0.01, 100.0), (1.0, 0.0)):
        info = '<PAMDataset><PAMRasterBand band="1"><Offset>{}</Offset><Scale>{}</Scale>'
        beside = path.with_name('a.tif.aux.xml')
        beside.write_text(info.format(offset, scale) + '</PAMRasterBand></PAMDataset>')
        os.utime(path, ns=(time.st_mtime_ns,) * 2)
        close_rasters()
        as_new_process()
        low, high = offset, 5000 * scale + offset
        assert aux_ranges([path], (1,), 'tile') == [Scaling((low,), (high,))]


def test_what_an_alpha_band_leaves_out_is_in_no_range(tmp_path):
    pixels = np.stack([[[0, 31, 60]], [[0, 255, 255]]], -1).astype(np.float32)
    path = write_raster(tmp_path / 'a.tif', pixels)
    with rasterio.open(path, 'r+') as raster:
        raster.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    assert aux_ranges([path], (1,), 'tile') == [Scaling((31,), (60,))]
    assert aux_ranges([path], (2,), 'tile') == [Scaling((0,), (255,))]
