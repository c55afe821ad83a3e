"""The Python face writes maps of files on disk, or one sentence and no file."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from scenes.folders import content
from scenes.inferencer import known
from scenes.prediction import (
    PALETTE,
    ROTATED,
    UTM,
)
from scenes.rasters import read_raster, write_raster

from mobanet_mmseg.inference import predict


def write_pair(folder, height, width, **place):
    """Write a pair with no two values alike; gives its label map."""
    rng = np.random.default_rng(height * width)
    rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    heights = rng.uniform(10, 30, (height, width)).astype(np.float32)
    place = {'crs': None, 'transform': None, **place}
    write_raster(folder / 'rgb.tif', rgb, **place)
    write_raster(folder / 'aux.tif', heights, **place)
    shares = np.dstack([rgb.astype(np.float32) / 255, (heights - 10) / np.float32(20)])
    return shares.argmax(axis=-1)


def test_label_map_worked_out_by_hand_is_written_on_the_grid_of_the_image(scene):
    counts = known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert np.array_equal(counts, np.bincount(scene['expected'].ravel(), minlength=256))
    with rasterio.open(scene['out']) as written, rasterio.open(scene['rgb']) as image:
        assert np.array_equal(written.read(1), scene['expected'])
        assert (written.crs, written.transform, written.shape) == (UTM, ROTATED, image.shape)
        colours = [written.colormap(1)[index][:3] for index in range(4)]
        assert colours == [tuple(colour) for colour in PALETTE]
        assert written.nodata == 255
        assert written.tags()['CLASS_3'] == 'high'


def test_raster_without_any_data_gives_a_map_without_any(scene):
    with rasterio.open(scene['rgb'], 'r+') as image:
        image.nodata = 9
        image.write(np.full((3, 37, 53), 9, np.uint8))
    counts = known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert counts[255] == 37 * 53
    assert (read_raster(scene['out']) == 255).all()


SIZES = [(1, 1), (1, 53), (37, 1), (2, 300), (16, 24), (17, 25), (31, 47), (300, 9)]


@pytest.mark.parametrize('size', SIZES)
def test_every_pixel_of_any_size_is_predicted_once(scene, size):
    expected = write_pair(scene['out'].parent, *size, crs=UTM, transform=ROTATED)
    counts = known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], aux_range=(10, 30))
    assert np.array_equal(read_raster(scene['out']), expected)
    assert counts.sum() == size[0] * size[1]


def test_place_is_tried_before_anything_is_predicted(scene, monkeypatch):
    model = known(scene)
    monkeypatch.setattr(model.model, 'encode_decode', lambda *args: pytest.fail('predicted'))
    with pytest.raises(OSError, match='could not be written'):
        model.predict_file(scene['rgb'], scene['aux'], scene['config'] / 'out.tif')


def write_damaged(path):
    """Tiles of 16 pixels, of which one in the middle holds what no encoder wrote."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 48, 3), dtype=np.uint8)
    tiles = {'tiled': True, 'blockxsize': 16, 'blockysize': 16, 'compress': 'deflate'}
    write_raster(path, noise, crs=UTM, transform=ROTATED, **tiles)
    with rasterio.open(path) as raster:
        offset = int(raster.get_tag_item('BLOCK_OFFSET_1_5', 'TIFF', bidx=1))
    with path.open('r+b') as file:
        file.seek(offset)
        file.write(b'\xff' * 300)


def damage_the_middle(scene):
    write_damaged(scene['rgb'])
    write_raster(scene['aux'], np.arange(7680, dtype=np.float32).reshape(160, 48),
                 crs=UTM, transform=ROTATED)  # fmt: skip


def truncate(scene):
    content = scene['rgb'].read_bytes()
    scene['rgb'].write_bytes(content[: len(content) // 2])


def move_away(scene):
    shifted = Affine.translation(1e5, 0) @ ROTATED
    write_raster(scene['aux'], read_raster(scene['aux']), crs=UTM, transform=shifted)


def other_size(scene):
    write_raster(scene['aux'], np.arange(2220, dtype=np.float32).reshape(37, 60),
                 crs=None, transform=None)  # fmt: skip


def two_bands(scene):
    write_raster(scene['rgb'], np.ones((37, 53, 2), np.uint8), crs=UTM, transform=ROTATED)


FAILURES = {
    'rgb missing': (lambda s: s['rgb'].unlink(), FileNotFoundError, r'rgb\.tif does not exist'),
    'aux missing': (lambda s: s['aux'].unlink(), FileNotFoundError, r'aux\.tif does not exist'),
    'no raster': (lambda s: s['aux'].write_text('x'), ValueError, r'aux\.tif cannot be read'),
    'no overlap': (move_away, ValueError, r'no overlap: give files of one area'),
    'other size': (other_size, ValueError, r'37 x 60 pixels.*37 x 53.* has no georeference'),
    'bands missing': (two_bands, ValueError, r'rgb\.tif has 2 band\(s\), but \(1, 2, 3\)'),
    'flat heights': (
        lambda s: write_raster(s['aux'], np.ones((37, 53), np.float32), crs=UTM,
                               transform=ROTATED), ValueError, r'aux\.tif'),
    'truncated': (truncate, ValueError, r'rgb\.tif (is truncated|cannot be read)'),
    'damaged': (damage_the_middle, ValueError, r'rgb\.tif is damaged at .*: copy or download'),
    'a folder': (lambda s: s['out'].mkdir(), OSError, r'out\.tif could not .*it is a folder'),
}  # fmt: skip


@pytest.mark.parametrize('name', FAILURES)
def test_failure_gets_one_sentence_and_leaves_no_file(scene, name):
    spoil, error, said = FAILURES[name]
    spoil(scene)
    before = content(scene['out'].parent)
    wanted = {'probabilities': True, 'confidence': True}
    with pytest.raises(error, match=said) as raised:
        known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], **wanted)
    assert '\n' not in str(raised.value)
    assert content(scene['out'].parent) == before


def test_input_is_never_overwritten(scene):
    before = content(scene['out'].parent)
    for name in ('rgb', 'aux', 'config', 'checkpoint'):
        with pytest.raises(ValueError, match='would be written over .*, which is read'):
            known(scene).predict_file(scene['rgb'], scene['aux'], scene[name])
    assert content(scene['out'].parent) == before


def test_old_map_is_replaced(scene):
    scene['out'].write_bytes(b'old')
    known(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert np.array_equal(read_raster(scene['out']), scene['expected'])
    assert not [path for path in scene['out'].parent.iterdir() if path.name.startswith('.')]


def test_files_are_predicted_in_column_blocks_as_whole(scene, monkeypatch):
    rng = np.random.default_rng(0)
    place = {'crs': UTM, 'transform': ROTATED}
    write_raster(scene['rgb'], rng.integers(0, 3, (37, 700, 3), np.uint8) * 100, nodata=0, **place)
    write_raster(scene['aux'], rng.random((37, 700), np.float32), **place)
    model, pair = known(scene), (scene['rgb'], scene['aux'])
    whole = model(*pair, probabilities=True)
    monkeypatch.setattr(predict, 'BLOCK_BYTES', 0)
    with model.open_pair(*pair) as source:
        assert {strip.done.width for strip in model.plan(source)} == {512, 188}
    counts = model.predict_file(*pair, scene['out'], probabilities=True)
    np.testing.assert_array_equal(read_raster(scene['out']), whole.labels)
    shares = read_raster(scene['out'].with_name('out_probabilities.tif'))
    np.testing.assert_array_equal(shares[..., 0] == 255, np.isnan(whole.probabilities[0]))
    np.testing.assert_array_equal(model(*pair).labels, whole.labels)
    assert counts.sum() == 37 * 700
