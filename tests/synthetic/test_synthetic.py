import runpy

import cv2
import numpy as np
import pytest
import rasterio
from scenes.paths import ROOT

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.synthetic import (
    cast_shadows,
    class_boundaries,
    make_tile,
    write_archive,
)
from mobanet_mmseg.synthetic.items import (
    BUILDING,
    CAR,
    CLUTTER,
    IMPERVIOUS,
    LOW_VEGETATION,
    TREE,
)

NAMES = ('2_10', '2_11', '3_10')
PALETTE = np.array(ISPRSPotsdamDataset.METAINFO['palette'])


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
    out = tmp_path_factory.mktemp('archive')
    write_archive(out, NAMES, size=160, gsd=0.3, bands=('rgb', 'irrg', 'rgbir'))
    return out


@pytest.fixture(scope='module')
def tile():
    return make_tile('3_12', (480, 560), gsd=0.2)


def _read(path):
    with rasterio.open(path) as raster:
        return np.moveaxis(raster.read(), 0, -1)


def _bytes(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def test_files_have_the_names_of_the_archive(archive):
    expected = {'README.txt', 'conversion.json'}
    for name, padded in zip(NAMES, ('02_10', '02_11', '03_10'), strict=True):
        expected |= {
            f'1_DSM/dsm_potsdam_{padded}.tif',
            f'2_Ortho_RGB/top_potsdam_{name}_RGB.tif',
            f'3_Ortho_IRRG/top_potsdam_{name}_IRRG.tif',
            f'4_Ortho_RGBIR/top_potsdam_{name}_RGBIR.tif',
            f'5_Labels_all/top_potsdam_{name}_label.tif',
            f'5_Labels_all_noBoundary/top_potsdam_{name}_label_noBoundary.tif',
        }
    assert set(_bytes(archive)) == expected
    assert 'SYNTHETIC' in (archive / 'README.txt').read_text()


def test_a_real_archive_is_not_written_over_and_a_synthetic_one_grows(tmp_path):
    real = tmp_path / '2_Ortho_RGB' / 'top_potsdam_2_10_RGB.tif'
    real.parent.mkdir()
    real.write_text('measured')
    with pytest.raises(ValueError, match='holds nothing that make_synthetic_isprs'):
        write_archive(tmp_path, ['2_10'], size=32)
    assert _bytes(tmp_path) == {'2_Ortho_RGB/top_potsdam_2_10_RGB.tif': b'measured'}
    for names in (['2_10'], ['2_10', '2_11']):
        write_archive(tmp_path / 'out', names, size=64)
    assert len(_bytes(tmp_path / 'out')) == 2 + 2 * 4


def test_rasters_are_strips_of_the_archives_types(archive):
    for file, count, dtype in (
        ('2_Ortho_RGB/top_potsdam_2_10_RGB.tif', 3, 'uint8'),
        ('4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif', 4, 'uint8'),
        ('1_DSM/dsm_potsdam_02_10.tif', 1, 'float32'),
        ('5_Labels_all/top_potsdam_2_10_label.tif', 3, 'uint8'),
        ('5_Labels_all_noBoundary/top_potsdam_2_10_label_noBoundary.tif', 3, 'uint8'),
    ):
        with rasterio.open(archive / file) as raster:
            assert (raster.count, set(raster.dtypes), raster.crs) == (count, {dtype}, 'EPSG:32633')
            assert raster.shape == (160, 160)
            assert raster.res == (0.3, 0.3)
            assert not raster.profile['tiled']
            assert raster.compression is None
            assert count == 1 or raster.profile['interleave'] == 'pixel'


def test_neighbours_by_number_touch_on_the_map(archive):
    bounds = {}
    for name in NAMES:
        with rasterio.open(archive / f'2_Ortho_RGB/top_potsdam_{name}_RGB.tif') as raster:
            bounds[name] = raster.bounds
    assert bounds['2_11'].left == pytest.approx(bounds['2_10'].right)
    assert bounds['2_11'].top == pytest.approx(bounds['2_10'].top)
    assert bounds['3_10'].top == pytest.approx(bounds['2_10'].bottom)
    assert bounds['3_10'].left == pytest.approx(bounds['2_10'].left)


def test_orthophotos_hold_the_bands_of_their_names(archive):
    rgbir = _read(archive / '4_Ortho_RGBIR/top_potsdam_2_10_RGBIR.tif')
    rgb = _read(archive / '2_Ortho_RGB/top_potsdam_2_10_RGB.tif')
    irrg = _read(archive / '3_Ortho_IRRG/top_potsdam_2_10_IRRG.tif')
    np.testing.assert_array_equal(rgb, rgbir[..., :3])
    np.testing.assert_array_equal(irrg, rgbir[..., [3, 0, 1]])


def test_plants_are_brighter_in_infrared_than_in_red(tile):
    red, infrared = tile.image[..., 0].astype(float), tile.image[..., 3].astype(float)
    plants = np.isin(tile.labels, (LOW_VEGETATION, TREE))
    assert (infrared[plants] / red[plants]).mean() > 1.3 * (infrared[~plants] / red[~plants]).mean()


def test_only_the_second_dsm_is_a_column_short(archive):
    whole = make_tile('2_11', (160, 160), gsd=0.3).dsm
    second = _read(archive / '1_DSM/dsm_potsdam_02_11.tif')[..., 0]
    assert second.shape == (160, 159)
    np.testing.assert_array_equal(second, whole[:, :159])
    assert _read(archive / '1_DSM/dsm_potsdam_03_10.tif').shape == (160, 160, 1)


def test_labels_hold_the_palette_alone_and_black_near_boundaries(archive):
    full = _read(archive / '5_Labels_all/top_potsdam_2_10_label.tif')
    eroded = _read(archive / '5_Labels_all_noBoundary/top_potsdam_2_10_label_noBoundary.tif')
    labels = (full[:, :, None] == PALETTE).all(-1)
    assert labels.any(-1).all()
    black = (eroded == 0).all(-1)
    np.testing.assert_array_equal(eroded[~black], full[~black])
    # Distance of each pixel from the nearest one of another class.
    distances = [cv2.distanceTransform(np.uint8(~of_class), cv2.DIST_L2, 5) for of_class in
                 np.moveaxis(labels, 2, 0) if of_class.any()]  # fmt: skip
    other = np.sort(distances, axis=0)[1]  # the smallest is 0, of the pixel's own class
    assert black[other <= 2.9].all()
    assert not black[other > 3.5].any()


def test_boundary_is_three_pixels_wide_on_either_side():
    labels = np.zeros((5, 9), np.uint8)
    labels[:, 4:] = 1
    expected = np.zeros((5, 9), bool)
    expected[:, 1:7] = True
    np.testing.assert_array_equal(class_boundaries(labels), expected)


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path):
    for folder, seed in (('a', 4), ('b', 4), ('c', 5)):
        write_archive(tmp_path / folder, ['2_10'], size=130, gsd=0.4, seed=seed)
    first, again, other = (_bytes(tmp_path / folder) for folder in 'abc')
    assert first == again
    assert all(first[file] != other[file] for file in first)


def test_a_tile_does_not_depend_on_the_others(archive, tmp_path):
    write_archive(tmp_path, ['3_10'], size=160, gsd=0.3)
    file = '2_Ortho_RGB/top_potsdam_3_10_RGB.tif'
    assert (tmp_path / file).read_bytes() == (archive / file).read_bytes()


def test_writing_leaves_no_half_written_file(archive):
    assert not list(archive.rglob('*.part'))


@pytest.mark.parametrize(
    'name', ISPRSPotsdamDataset.TRAIN_TILES[:3] + ISPRSPotsdamDataset.TEST_TILES[:2]
)
def test_every_class_has_its_share_of_50_metres(name):
    labels = make_tile(name, (250, 250), gsd=0.2).labels
    shares = np.bincount(labels.ravel(), minlength=6) / labels.size
    assert (shares[[IMPERVIOUS, BUILDING, LOW_VEGETATION, TREE]] > 0.08).all()
    assert (shares[[CAR, CLUTTER]] > 0.01).all()


def _accuracy(features, positive, negative):
    """Balanced accuracy of a linear discriminant between two masks."""
    a, b = features[positive].astype(float), features[negative].astype(float)
    within = np.cov(a.T) + np.cov(b.T)
    normal = np.linalg.solve(np.atleast_2d(within), a.mean(0) - b.mean(0))
    middle = (a.mean(0) + b.mean(0)) @ normal / 2
    return ((a @ normal > middle).mean() + (b @ normal < middle).mean()) / 2


@pytest.mark.parametrize(('tall', 'low'), [(BUILDING, IMPERVIOUS), (TREE, LOW_VEGETATION)])
def test_colour_needs_height_to_tell_what_stands_from_what_lies(tile, tall, low):
    masks = tile.labels == tall, tile.labels == low
    colour, height = tile.image[..., :3], (tile.dsm - tile.ground)[..., None]
    assert _accuracy(colour, *masks) < 0.7  # 0.5 is chance
    assert _accuracy(np.dstack([colour, height]), *masks) > 0.95
    # The slope of the land blurs heights that are not taken from the ground.
    assert _accuracy(tile.dsm[..., None], *masks) < _accuracy(height, *masks)


@pytest.mark.parametrize(('plant', 'stone'), [(TREE, BUILDING), (LOW_VEGETATION, IMPERVIOUS)])
def test_height_needs_colour_to_tell_plants_from_stone(tile, plant, stone):
    masks = tile.labels == plant, tile.labels == stone
    colour, height = tile.image[..., :3], (tile.dsm - tile.ground)[..., None]
    assert _accuracy(height, *masks) < 0.75
    assert _accuracy(np.dstack([colour, height]), *masks) > 0.95


@pytest.mark.parametrize(
    ('azimuth', 'rows', 'cols'),
    [
        (180, slice(6, 10), slice(12, 15)),  # sun in the south: shadow to the north, up
        (90, slice(10, 12), slice(8, 12)),  # sun in the east: shadow to the west, left
    ],
)
def test_at_45_degrees_a_shadow_is_as_long_as_its_box_is_high(azimuth, rows, cols):
    heights = np.full((20, 30), 40.0, np.float32)
    heights[10:12, 12:15] += 2.25  # metres, that is 4.5 pixels
    sun = cast_shadows(heights, gsd=0.5, azimuth=azimuth, elevation=45, soft=0.1)
    expected = np.ones((20, 30), np.float32)
    expected[rows, cols] = 0
    np.testing.assert_array_equal(sun, expected)


def test_a_lower_sun_casts_a_longer_shadow():
    heights = np.zeros((24, 9), np.float32)
    heights[20] = 2.25
    elevation = np.degrees(np.arctan(0.5))  # falls half a metre a metre
    sun = cast_shadows(heights, gsd=0.5, azimuth=180, elevation=elevation, soft=0.1)
    np.testing.assert_array_equal(np.flatnonzero(sun[:, 4] == 0), np.arange(12, 20))


def test_shadow_softens_over_the_depth_given():
    heights = np.array([[0.0], [0.0], [3.0]], np.float32)
    sun = cast_shadows(heights, gsd=1.0, azimuth=180, elevation=45, soft=4.0)
    # One pixel from the wall the shadow is 2 m deep, two pixels from it 1 m.
    np.testing.assert_allclose(sun[:, 0], [0.75, 0.5, 1], atol=1e-5)


def test_streets_are_darker_where_the_heights_cast_shadow(tile):
    sun = cast_shadows(tile.dsm, 0.2, azimuth=150, elevation=58)
    street = tile.labels == IMPERVIOUS
    brightness = tile.image[..., :3].mean(-1)
    assert brightness[street & (sun == 0)].mean() < 0.6 * brightness[street & (sun == 1)].mean()


@pytest.mark.parametrize('name', ['2', '2_10_1', 'a_b', ''])
def test_a_name_that_is_not_row_col_is_refused(name):
    with pytest.raises(ValueError, match='row_col'):
        make_tile(name, (32, 48))


def test_bad_requests_are_refused(tmp_path):
    with pytest.raises(ValueError, match='at least one'):
        write_archive(tmp_path, [])
    with pytest.raises(ValueError, match=r"\['nir'\] are unknown"):
        write_archive(tmp_path, ['2_10'], bands=['nir'])
    with pytest.raises(ValueError, match='positive size'):
        make_tile('2_10', (0, 48))


def test_the_command_writes_the_first_names_of_both_splits(tmp_path, monkeypatch):
    tool = ROOT / 'tools' / 'make_synthetic_isprs.py'
    arguments = [str(tmp_path), '--size', '48', '--gsd', '0.5', '--train', '2', '--test', '1']
    monkeypatch.setattr('sys.argv', [str(tool), *arguments])
    runpy.run_path(str(tool), run_name='__main__')
    written = sorted(path.name for path in (tmp_path / '1_DSM').iterdir())
    assert written == [f'dsm_potsdam_02_{col}.tif' for col in (10, 11, 13)]
