import json
import os
import shutil
import signal
import subprocess
import threading
import time
import warnings
from contextlib import nullcontext

import cv2
import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate
from scenes.limits import no_root, short_disk

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.inference.maps import (
    MapPaths,
    Maps,
    behind,
    count_labels,
    map_paths,
    write_maps,
)
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.tiling.windows import Window

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.05, 0, 368000, 0, -0.05, 5808000)
PLACES = {
    'rotated': (UTM, Affine(0.04, 0.03, 368000, 0.03, -0.04, 5808000)),
    'south-up': (UTM, Affine(0.05, 0, 368000, 0, 0.05, 5808000)),
    'without CRS': (None, Affine(2, 0, 5, 0, -2, 7)),
    'nowhere': (None, Affine.identity()),
}
CLASSES = Classes(('road', 'house', 'tree'), [[255, 255, 255], [0, 0, 255], [0, 255, 0]])
SIZES = [(1, 300), (300, 1), (512, 256), (257, 511), (600, 1030)]
NAMES = ('labels.tif', 'probabilities.tif', 'confidence.tif')


def some_maps(height=600, width=1030):
    """Labels, probabilities and confidence of noise, with nodata in the corner."""
    draw = np.random.default_rng(0)
    probabilities = draw.integers(0, 255, (3, height, width), dtype=np.uint8)
    probabilities[:, :20, :30] = 255
    labels = probabilities.argmax(0).astype(np.uint8)
    labels[:20, :30] = 255
    return labels, probabilities, probabilities.max(0)


def paths_in(folder, *, cog=False):
    return MapPaths(*(folder / name for name in NAMES), cog=cog)


def rows_of(maps, step=100):
    """Labels, probabilities and confidence, cut into rows."""
    height, width = maps[0].shape
    for row in range(0, height, step):
        rows = (None if each is None else each[..., row : row + step, :] for each in maps)
        yield Maps(Window(row, 0, min(step, height - row), width), *rows)


def start(paths, rows, shape, crs=UTM, transform=NORTH_UP):
    info = RasterInfo('image.tif', *shape, 3, ('uint8',) * 3, crs, transform, (None,) * 3)
    return write_maps(rows, paths, info, CLASSES)


def write(paths, maps, *, step=100, **place):
    return count_labels(start(paths, rows_of(maps, step), maps[0].shape, **place))


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            return raster.read()


def blocks_of(path):
    """(offset, bytes) of each block of a raster that is laid out band after band."""
    with rasterio.open(path) as raster:
        found = [
            tuple(
                int(raster.get_tag_item(f'BLOCK_{what}_{column}_{row}', 'TIFF', bidx=band) or 0)
                for what in ('OFFSET', 'SIZE')
            )
            for band in raster.indexes
            for (row, column), _ in raster.block_windows(band)
        ]
    return sorted(found)


@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize('size', SIZES)
def test_maps_of_any_size_are_read_back(tmp_path, size, cog):
    maps = some_maps(*size)
    write(paths_in(tmp_path, cog=cog), maps, step=7)
    for name, expected in zip(NAMES, maps, strict=True):
        assert np.array_equal(read(tmp_path / name), expected.reshape(-1, *size))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize('cog', [False, True])
def test_colours_names_and_scale_are_in_the_files(tmp_path, cog):
    write(paths_in(tmp_path, cog=cog), some_maps())
    with rasterio.open(tmp_path / 'labels.tif') as labels:
        assert labels.colorinterp == (ColorInterp.palette,)
        colours = [labels.colormap(1)[index] for index in (0, 1, 2, 255)]
        assert colours == [(255, 255, 255, 255), (0, 0, 255, 255), (0, 255, 0, 255), (0, 0, 0, 0)]
        assert [labels.tags()[f'CLASS_{index}'] for index in range(3)] == ['road', 'house', 'tree']
        assert labels.scales == (1,)
    with rasterio.open(tmp_path / 'probabilities.tif') as probabilities:
        assert probabilities.descriptions == ('road', 'house', 'tree')
        assert probabilities.scales == pytest.approx([1 / 254] * 3)
        assert ColorInterp.red not in probabilities.colorinterp  # three classes are no picture
    with rasterio.open(tmp_path / 'confidence.tif') as confidence:
        assert confidence.descriptions == ('confidence',)
        assert confidence.scales == pytest.approx([1 / 254])
    for name in NAMES:
        with rasterio.open(tmp_path / name) as raster:
            assert (raster.crs, raster.transform) == (UTM, NORTH_UP)
            assert set(raster.nodatavals) == {255}
            assert raster.compression.name == 'deflate'
            assert set(raster.block_shapes) == {(256, 256)}


@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize('place', PLACES)
def test_any_georeference_is_kept(tmp_path, place, cog):
    crs, transform = PLACES[place]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        write(paths_in(tmp_path, cog=cog), some_maps(1, 53), crs=crs, transform=transform)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        for name in NAMES:
            with rasterio.open(tmp_path / name) as raster:
                assert (raster.crs, raster.transform) == (crs, transform)


@pytest.mark.parametrize('cog', [False, True])
def test_number_of_rows_at_a_time_and_size_of_the_cache_change_no_byte(tmp_path, cog):
    maps = some_maps(520, 300)
    write(paths_in(tmp_path / 'whole', cog=cog), maps, step=520)
    for step in (1, 255, 300) if cog else (1, 7, 255, 256, 300, 513):
        with rasterio.Env(GDAL_CACHEMAX=100_000 * step):
            write(paths_in(tmp_path / 'strips', cog=cog), maps, step=step)
        for name in NAMES:
            whole, strips = (tmp_path / folder / name for folder in ('whole', 'strips'))
            assert strips.read_bytes() == whole.read_bytes(), (step, name)


@pytest.mark.parametrize('size', SIZES)
def test_each_block_is_written_once_and_the_file_has_no_holes(tmp_path, size):
    write(paths_in(tmp_path), some_maps(*size), step=100)
    for name in NAMES:
        blocks = blocks_of(tmp_path / name)
        ends = [offset + length for offset, length in blocks]
        assert [offset for offset, _ in blocks[1:]] == ends[:-1]
        assert ends[-1] == (tmp_path / name).stat().st_size
        assert blocks[0][0] < 5000  # the header


@pytest.mark.parametrize('size', [*SIZES, (20, 30)])
@pytest.mark.parametrize('place', [None, *PLACES])
def test_cog_passes_the_validation_of_rio_cogeo(tmp_path, size, place):
    crs, transform = PLACES.get(place, (UTM, NORTH_UP))
    write(paths_in(tmp_path, cog=True), some_maps(*size), crs=crs, transform=transform)
    for name in NAMES:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            assert cog_validate(tmp_path / name, strict=True) == (True, [], [])


@pytest.mark.parametrize('width', [1, 2, 3, 5])
def test_narrow_cog_has_no_two_overviews_of_one_width(tmp_path, width):
    write(paths_in(tmp_path, cog=True), some_maps(1500, width))
    for name in NAMES:
        valid, errors, warned = cog_validate(tmp_path / name)
        assert valid and not errors
        # rio-cogeo wants overviews of all that is longer than 512; 1 pixel has none
        assert bool(warned) == (width == 1)


def test_overviews_hold_no_class_between_two_and_average_the_rest_without_nodata(tmp_path):
    labels = np.zeros((520, 1040), np.uint8)
    labels[:, ::2] = 2  # road and tree by turns; house lies between them
    confidence = np.where(labels == 2, 100, 200).astype(np.uint8)
    confidence[:, ::4] = labels[:, ::4] = 255
    paths = MapPaths(tmp_path / 'l.tif', None, tmp_path / 'c.tif', cog=True)
    write(paths, (labels, None, confidence))
    for name in ('l.tif', 'c.tif'):
        with rasterio.open(tmp_path / name) as raster:
            assert raster.overviews(1)[:2] == [2, 4]
    with rasterio.open(tmp_path / 'l.tif', overview_level=0) as overview:
        assert overview.shape == (260, 520)
        assert set(np.unique(overview.read(1))) <= {0, 2, 255}
    with rasterio.open(tmp_path / 'c.tif', overview_level=0) as overview:
        assert overview.read(1)[7, :4].tolist() == [200, 150, 200, 150]  # (255 200) (100 200) ...


def test_gdalinfo_reads_what_was_written(tmp_path):
    gdalinfo = shutil.which('gdalinfo')
    if gdalinfo is None:
        pytest.skip('gdalinfo is not installed')
    for cog in (False, True):
        write(paths_in(tmp_path, cog=cog), some_maps(), transform=PLACES['rotated'][1])
        infos = []
        for name in NAMES:
            command = [gdalinfo, '-json', tmp_path / name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            assert done.stderr == ''
            infos.append(json.loads(done.stdout))
            assert infos[-1]['size'] == [1030, 600]
            assert infos[-1]['geoTransform'] == [368000, 0.04, 0.03, 5808000, 0.03, -0.04]
            assert {band['noDataValue'] for band in infos[-1]['bands']} == {255}
            assert ('overviews' in infos[-1]['bands'][0]) == cog
        labels, probabilities, _ = infos
        assert labels['metadata']['']['CLASS_1'] == 'house'
        assert labels['bands'][0]['colorTable']['entries'][1] == [0, 0, 255, 255]
        names = [band['description'] for band in probabilities['bands']]
        assert names == ['road', 'house', 'tree']
        assert probabilities['bands'][2]['scale'] == pytest.approx(1 / 254)


@pytest.mark.parametrize('cog', [False, True])
def test_readers_that_know_no_georeference_see_the_same_pixels(tmp_path, cog):
    labels, probabilities, confidence = some_maps()
    write(paths_in(tmp_path, cog=cog), (labels, probabilities, confidence))
    with Image.open(tmp_path / 'labels.tif') as image:
        assert np.array_equal(np.asarray(image), labels)
        assert image.getpalette()[3:6] == [0, 0, 255]
    found = cv2.imread(str(tmp_path / 'confidence.tif'), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(found, confidence)


def test_all_maps_appear_together_and_only_at_the_end(tmp_path):
    rows = start(paths_in(tmp_path), rows_of(some_maps(37, 53)), (37, 53))
    next(rows)
    hidden = [path.name for path in tmp_path.iterdir()]
    assert len(hidden) == 3
    assert all(name.startswith('.') and name.endswith('.part') for name in hidden)
    assert next(rows, None) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def test_labels_are_counted_as_they_are_written(tmp_path):
    labels = np.array([[0, 2, 2], [255, 2, 0]], np.uint8)
    counts = write(MapPaths(tmp_path / 'labels.tif'), (labels, None, None), step=1)
    assert counts.nonzero()[0].tolist() == [0, 2, 255]
    assert counts[[0, 2, 255]].tolist() == [2, 3, 1]


def test_maps_lie_beside_the_labels_and_on_no_input(tmp_path):
    paths = map_paths(tmp_path / 'a.tif', ('rgb.tif', None), probabilities=True, cog=True)
    assert paths == MapPaths(tmp_path / 'a.tif', tmp_path / 'a_probabilities.tif', cog=True)
    assert paths.wanted == {'probabilities': True, 'confidence': False}
    (tmp_path / 'elsewhere').symlink_to(tmp_path)
    inputs = tmp_path / 'elsewhere' / 'a.tif', tmp_path / 'b_confidence.tif'
    for path in inputs:
        path.touch()
    with pytest.raises(
        ValueError, match=r'a\.tif would be written over .*elsewhere/a\.tif, which is read'
    ):
        map_paths(tmp_path / 'a.tif', inputs)
    with pytest.raises(ValueError, match=r'b_confidence\.tif would be written over'):
        map_paths(tmp_path / 'b.tif', inputs, confidence=True)
    map_paths(tmp_path / 'b.tif', inputs, probabilities=True)


def spoil(part):
    content = bytearray(part.read_bytes())
    content[-2000:-1000] = bytes(1000)
    part.write_bytes(content)


FAILURES = {
    'an error of the caller': (lambda folder: {}['absent'], KeyError, 'absent'),
    'a folder in the place': (
        lambda folder: (folder / 'confidence.tif').mkdir(), OSError,
        r'confidence\.tif could not be written \(.*folder\)'),
    'a broken disk': (
        lambda folder: spoil(next(folder.glob('.probabilities*'))), OSError,
        r'probabilities\.tif could not be written'),
}  # fmt: skip


@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize('name', FAILURES)
def test_after_a_failure_nothing_stays_and_the_old_file_is_unchanged(
    tmp_path, monkeypatch, name, cog
):
    monkeypatch.setattr('mobanet_mmseg.inference.maps.behind', nullcontext)
    fail, error, said = FAILURES[name]
    (tmp_path / 'labels.tif').write_bytes(b'old')
    paths, maps = paths_in(tmp_path, cog=cog), some_maps()

    def rows():
        yield from rows_of(maps, 600)
        fail(tmp_path)

    with pytest.raises(error, match=said):
        count_labels(start(paths, rows(), (600, 1030)))
    assert (tmp_path / 'labels.tif').read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ['labels.tif']


@pytest.mark.parametrize(
    ('limit', 'cog'),  # the last one has no room for the overviews
    [(500, False), (100_000, False), (1_500_000, False), (500, True), (1_900_000, True)],
)
def test_full_disk_gives_one_sentence_and_no_file(tmp_path, limit, cog):
    said = r'\.tif could not be written .*free space'
    with short_disk(limit), pytest.raises(OSError, match=said) as error:
        write(paths_in(tmp_path, cog=cog), some_maps())
    assert '\n' not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_folder_in_the_place_is_found_before_anything_is_predicted(tmp_path):
    (tmp_path / 'confidence.tif').mkdir()
    said = r'confidence\.tif could not be written \(.*folder\)'
    with pytest.raises(OSError, match=said):
        next(start(paths_in(tmp_path), (pytest.fail('predicted') for _ in 'a'), (37, 53)))
    assert [path.name for path in tmp_path.iterdir()] == ['confidence.tif']


def test_place_without_permission_is_found_before_anything_is_predicted(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with (
            no_root(),
            pytest.raises(OSError, match=r'labels\.tif could not be written .*[Pp]ermission'),
        ):
            next(start(paths_in(tmp_path), (pytest.fail('predicted') for _ in 'a'), (37, 53)))
    finally:
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_killed_process_leaves_no_file_that_looks_finished(tmp_path):
    (tmp_path / 'labels.tif').write_bytes(b'old')
    maps = some_maps()
    child = os.fork()
    if child == 0:
        for maps_ in start(paths_in(tmp_path), rows_of(maps, 590), (600, 1030)):
            (tmp_path / 'written').touch()
            time.sleep(60 if maps_.window.row == 0 else 0)
        os._exit(1)
    while not (tmp_path / 'written').exists():
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (tmp_path / 'written').unlink()
    hidden = [path for path in tmp_path.iterdir() if path.name != 'labels.tif']
    assert len(hidden) == 3
    assert all(path.name.startswith('.') and path.suffix == '.part' for path in hidden)
    assert (tmp_path / 'labels.tif').read_bytes() == b'old'
    write(paths_in(tmp_path), maps)  # what stayed is in nobody's way
    assert np.array_equal(read(tmp_path / 'labels.tif')[0], maps[0])


def test_rows_that_are_left_out_leave_no_file(tmp_path):
    with pytest.raises(AssertionError, match='not all was written'):
        count_labels(start(paths_in(tmp_path), rows_of(some_maps(36, 53)), (37, 53)))
    assert list(tmp_path.iterdir()) == []


def test_writing_that_is_given_up_leaves_no_file(tmp_path):
    rows = start(paths_in(tmp_path), rows_of(some_maps(), 100), (600, 1030))
    assert next(rows).window == (0, 0, 100, 1030)
    rows.close()
    assert list(tmp_path.iterdir()) == []


def writers():
    return [thread for thread in threading.enumerate() if thread.name.startswith('writing')]


def test_calls_run_in_order_in_one_other_thread_and_none_is_lost():
    calls = []
    with behind(lambda *args: calls.append((threading.current_thread().name, args))) as write:
        for number in range(9):
            write(number, -number)
    assert [args for _, args in calls] == [(number, -number) for number in range(9)]
    assert len({name for name, _ in calls}) == 1
    assert calls[0][0].startswith('writing')
    assert not writers()


def test_one_call_at_most_runs_behind():
    going, done = threading.Event(), []

    def slow(number):
        going.wait(5)
        done.append(number)

    with behind(slow) as write:
        write(1)  # returns at once
        assert done == []
        threading.Timer(0.05, going.set).start()
        write(2)  # waits for the first
        assert done[0] == 1
    assert done == [1, 2]


def test_an_error_comes_out_at_the_next_call_and_no_call_runs_after_it():
    calls = []

    def fail(number):
        calls.append(number)
        raise OSError('the disk is full')

    with pytest.raises(OSError, match='full'), behind(fail) as write:
        write(1)
        write(2)
    assert calls == [1]


def test_an_error_of_the_last_call_comes_out_at_the_end():
    with pytest.raises(ZeroDivisionError), behind(lambda number: 1 / number) as write:
        write(1)
        write(0)


def test_an_error_of_the_block_comes_out_once_the_running_call_has_ended():
    going, ended = threading.Event(), []

    def slow():
        going.wait(5)
        ended.append(True)

    def block():
        with behind(slow) as write:
            write()
            threading.Timer(0.05, going.set).start()
            raise KeyError('of the block')

    with pytest.raises(KeyError, match='of the block'):
        block()
    assert ended == [True]
    assert not writers()
