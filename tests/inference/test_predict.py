"""A pair of files is predicted into maps whose pixels are known by hand, or not at all."""

import shutil

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_origin
from scenes.limits import no_root, short_disk
from scenes.prediction import PALETTE, ROTATED, UTM, write_scene
from scenes.rasters import read_raster, write_raster

from mobanet_mmseg.inference.inferencer import MultimodalInferencer

NORTH_UP = from_origin(368000, 5808000, 0.5, 0.5)
SOUTH_UP = Affine(0.5, 0, 368000, 0, 0.5, 5808000)


def inferencer(scene, **options):
    return MultimodalInferencer(scene['config'], scene['checkpoint'], device='cpu', **options)


def files_in(folder):
    return {path: path.read_bytes() for path in folder.rglob('*') if path.is_file()}


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
    counts = inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert np.array_equal(counts, np.bincount(scene['expected'].ravel(), minlength=256))
    with rasterio.open(scene['out']) as written, rasterio.open(scene['rgb']) as image:
        assert np.array_equal(written.read(1), scene['expected'])
        assert (written.crs, written.transform, written.shape) == (UTM, ROTATED, image.shape)
        colours = [written.colormap(1)[index][:3] for index in range(4)]
        assert colours == [tuple(colour) for colour in PALETTE]
        assert written.nodata == 255
        assert written.tags()['CLASS_3'] == 'high'


def test_probabilities_and_confidence_lie_beside_it_and_equal_softmax_by_hand(scene):
    wanted = {'probabilities': True, 'confidence': True}
    inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], **wanted)
    shares = np.exp([0.8, 0.2, 0.2, 0.0])  # red, on the ground
    folder = scene['out'].parent
    with rasterio.open(folder / 'out_probabilities.tif') as written:
        probabilities = written.read()
        assert written.descriptions == ('red', 'green', 'blue', 'high')
        assert written.scales == pytest.approx([1 / 254] * 4)
        assert (written.crs, written.transform) == (UTM, ROTATED)
    assert probabilities[:, 0, 0].tolist() == np.rint(254 * shares / shares.sum()).tolist()
    labels = read_raster(scene['out'])
    chosen = np.take_along_axis(probabilities, labels[None].astype(int), 0)[0]
    assert np.array_equal(chosen, probabilities.max(axis=0))
    assert np.array_equal(read_raster(folder / 'out_confidence.tif'), chosen)


def test_pixels_without_optical_data_are_nodata_in_every_map(scene):
    with rasterio.open(scene['rgb'], 'r+') as image:
        image.nodata = 51
        valid = (image.read() != 51).any(axis=0)  # one band with data is enough
    assert 0 < valid.sum() < valid.size
    wanted = {'probabilities': True, 'confidence': True}
    counts = inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], **wanted)
    assert np.array_equal(read_raster(scene['out']), np.where(valid, scene['expected'], 255))
    assert counts[255] == (~valid).sum()
    for name in ('out_probabilities.tif', 'out_confidence.tif'):
        void = read_raster(scene['out'].with_name(name)) == 255
        assert (void.reshape(*valid.shape, -1) == ~valid[..., None]).all()


def test_raster_without_any_data_gives_a_map_without_any(scene):
    with rasterio.open(scene['rgb'], 'r+') as image:
        image.nodata = 9
        image.write(np.full((3, 37, 53), 9, np.uint8))
    counts = inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert counts[255] == 37 * 53
    assert (read_raster(scene['out']) == 255).all()


SIZES = [(1, 1), (1, 53), (37, 1), (2, 300), (16, 24), (17, 25), (31, 47), (300, 9)]


@pytest.mark.parametrize('size', SIZES)
def test_every_pixel_of_any_size_is_predicted_once(scene, size):
    expected = write_pair(scene['out'].parent, *size, crs=UTM, transform=ROTATED)
    told = []
    counts = inferencer(scene).predict_file(
        scene['rgb'],
        scene['aux'],
        scene['out'],
        aux_range=(10, 30),
        advance=lambda *t: told.append(t),
    )
    assert np.array_equal(read_raster(scene['out']), expected)
    assert counts.sum() == size[0] * size[1]
    assert sum(rows for rows, _ in told) == size[0]
    assert {total for _, total in told} == {size[0]}


@pytest.mark.parametrize('stride', [(1, 24), (5, 7), (16, 24)])
@pytest.mark.parametrize('blend', ['none', 'gaussian', 'cosine'])
def test_windows_and_blending_change_nothing_where_a_pixel_stands_alone(scene, stride, blend):
    model = inferencer(scene, stride=stride, blend=blend)
    model.predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert np.array_equal(read_raster(scene['out']), scene['expected'])


PLACES = {
    'without CRS': {'transform': NORTH_UP},
    'without transform': {},
    'south-up': {'crs': UTM, 'transform': SOUTH_UP},
    'rotated': {'crs': UTM, 'transform': ROTATED},
    'CRS without transform': {'crs': UTM},
}


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize('name', PLACES)
def test_any_georeference_is_that_of_the_image(scene, name, cog):
    expected = write_pair(scene['out'].parent, 19, 31, **PLACES[name])
    options = {'aux_range': (10, 30), 'cog': cog}
    inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], **options)
    with rasterio.open(scene['out']) as written, rasterio.open(scene['rgb']) as image:
        assert (written.crs, written.transform) == (image.crs, image.transform)
        assert np.array_equal(written.read(1), expected)


def test_heights_on_another_grid_are_warped_on_the_fly(scene):
    """North-up at half the resolution: constant 5 x 5 blocks of heights stay what they are."""
    rgb = np.full((40, 60, 3), 51, np.uint8)
    heights = np.zeros((20, 30), np.float32)
    heights[:, 15:] = 1
    write_raster(scene['rgb'], rgb, crs=UTM, transform=NORTH_UP)
    coarse = NORTH_UP @ Affine.scale(2)
    write_raster(scene['aux'], heights, crs=UTM, transform=coarse)
    inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    labels = read_raster(scene['out'])
    assert (labels[:, :29] == 0).all()
    assert (labels[:, 31:] == 3).all()


def test_fixed_range_scales_heights_in_their_own_unit(scene):
    model = inferencer(scene)
    model.predict_file(scene['rgb'], scene['aux'], scene['out'], aux_range=(10, 1010))
    assert not (read_raster(scene['out']) == 3).any()  # 30 m become 0.02, below everything


def test_percentiles_clip_heights_as_in_training(scene):
    with rasterio.open(scene['aux'], 'r+') as aux:
        heights = aux.read(1)
        heights[0, 0] = 1e6  # by its own range all else would be 0
        aux.write(heights, 1)
    model = inferencer(scene)
    model.predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert not (read_raster(scene['out'])[1:] == 3).any()
    percentiles = ('percentile', 1, 99)
    model.predict_file(scene['rgb'], scene['aux'], scene['out'], aux_range=percentiles)
    assert np.array_equal(read_raster(scene['out'])[1:], scene['expected'][1:])


def test_place_is_tried_before_anything_is_predicted(scene, monkeypatch):
    model = inferencer(scene)
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
    before = files_in(scene['out'].parent)
    wanted = {'probabilities': True, 'confidence': True}
    with pytest.raises(error, match=said) as raised:
        inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'], **wanted)
    assert '\n' not in str(raised.value)
    assert files_in(scene['out'].parent) == before


@pytest.mark.parametrize('limit', [200, 600])
def test_full_disk_gets_one_sentence_and_leaves_the_old_file(scene, limit):
    model = inferencer(scene)
    write_pair(scene['out'].parent, 40, 60, crs=UTM, transform=ROTATED)
    scene['out'].write_bytes(b'old')
    before = files_in(scene['out'].parent)
    with short_disk(limit), pytest.raises(OSError, match='free space') as raised:
        model.predict_file(scene['rgb'], scene['aux'], scene['out'], probabilities=True)
    assert '\n' not in str(raised.value)
    assert files_in(scene['out'].parent) == before


def test_place_without_permission_gets_one_sentence(open_folder):
    scene = write_scene(open_folder)
    model = inferencer(scene)
    place = open_folder / 'place'
    place.mkdir(mode=0o500)
    said = r'out\.tif could not be written .*[Pp]ermission'
    with no_root(), pytest.raises(OSError, match=said):
        model.predict_file(scene['rgb'], scene['aux'], place / 'out.tif')
    assert list(place.iterdir()) == []


@pytest.mark.parametrize('name', ['rgb', 'aux'])
def test_input_is_never_overwritten(scene, name):
    (scene['out'].parent / 'elsewhere').symlink_to(scene['out'].parent)
    before = scene[name].read_bytes()
    for out in (scene[name], scene['out'].parent / 'elsewhere' / scene[name].name):
        with pytest.raises(ValueError, match='is an input and would be overwritten'):
            inferencer(scene).predict_file(scene['rgb'], scene['aux'], out)
    assert scene[name].read_bytes() == before


def test_input_is_not_overwritten_by_the_maps_beside_the_labels(scene):
    heights = shutil.move(scene['aux'], scene['out'].with_name('out_confidence.tif'))
    before = files_in(scene['out'].parent)
    with pytest.raises(ValueError, match=r'out_confidence\.tif is an input'):
        inferencer(scene).predict_file(scene['rgb'], heights, scene['out'], confidence=True)
    assert files_in(scene['out'].parent) == before
    inferencer(scene).predict_file(scene['rgb'], heights, scene['out'])


def test_old_map_is_replaced(scene):
    scene['out'].write_bytes(b'old')
    inferencer(scene).predict_file(scene['rgb'], scene['aux'], scene['out'])
    assert np.array_equal(read_raster(scene['out']), scene['expected'])
    assert not [path for path in scene['out'].parent.iterdir() if path.name.startswith('.')]
