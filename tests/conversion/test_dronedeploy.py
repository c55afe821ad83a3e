import runpy
import sys
from collections import Counter

import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from mmseg.registry import DATASETS
from rasterio.transform import Affine, from_origin
from scenes.paths import ROOT
from scenes.rasters import write_raster
from scenes.toy import train_toy

from mobanet_mmseg.conversion.dronedeploy import CODES, benchmark_split, convert, find_scenes

TOOL = ROOT / 'tools' / 'dataset_converters' / 'dronedeploy.py'
CONFIG = ROOT / 'configs' / 'mobanet' / 'dronedeploy_dinov2_b.py'
TRAIN = '1d4fbe33f3_F1BE1D4184INSPIRE'
VAL = 'ec09336a6f_06BA0AF311OPENPIPELINE'
TEST = '12fa5e614f_53197F206FOPENPIPELINE'
SHAPE = (50, 70)  # tiles of 30: rows 30 + 20, columns 30 + 40
COLOURS = np.array(  # as the README lists them, there as blue, green, red
    [(230, 25, 75), (145, 30, 180), (60, 180, 75), (245, 130, 48), (255, 255, 255), (0, 130, 200)],
    np.uint8,
)
IGNORE = (255, 0, 255)


def plain(path, pixels, **profile):
    """Write a raster that does not say where it lies."""
    return write_raster(path, pixels, crs=None, transform=Affine.identity(), **profile)


def scene(root, name, seed=0, write=plain, **changes):
    """Write the three files of a scene; give their pixels and class indices."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 6, SHAPE)
    pixels = dict(
        ortho=rng.integers(1, 255, (*SHAPE, 3), dtype=np.uint8),
        elev=rng.uniform(210, 240, SHAPE).astype(np.float32),
        label=COLOURS[classes],
    )
    pixels |= changes
    write(root / 'images' / f'{name}-ortho.tif', pixels['ortho'])
    write(root / 'elevations' / f'{name}-elev.tif', pixels['elev'])
    label = root / 'labels' / f'{name}-label.png'
    plain(label, pixels['label'], driver='PNG', interleave='band')
    return pixels, classes


def small(monkeypatch, least=15):
    monkeypatch.setattr('mobanet_mmseg.conversion.dronedeploy.MIN_SIDE', least)


def read(out, folder, name, row, col):
    with rasterio.open(out / folder / f'{name}-ortho_r{row:03}_c{col:03}.tif') as raster:
        return np.moveaxis(raster.read(), 0, -1)


def whole(out, folder, name):
    """Put the four tiles of a scene together."""
    rows = [np.hstack([read(out, folder, name, row, col) for col in (0, 1)]) for row in (0, 1)]
    return np.vstack(rows)


def stems(out, split):
    return (out / f'{split}.txt').read_text().split()


def test_the_classes_are_the_colours_of_the_readme_and_magenta_is_none():
    classes = CODES.classes
    assert classes.names == ('building', 'clutter', 'vegetation', 'water', 'ground', 'car')
    assert classes.palette == tuple(map(tuple, COLOURS.tolist()))
    assert CODES.lookup[IGNORE] == 255
    dataset = Config.fromfile(CONFIG).train_dataloader.dataset
    assert tuple(dataset.metainfo.classes) == classes.names
    assert dataset.metainfo.palette == COLOURS.tolist()


def test_the_split_has_thirty_scenes_to_validate_and_thirty_to_test():
    split = benchmark_split()
    assert Counter(split.values()) == {'val': 30, 'test': 30}
    assert (split[VAL], split[TEST], split.get(TRAIN)) == ('val', 'test', None)


def test_tiles_hold_the_pixels_of_their_scene_and_each_scene_is_in_its_split(tmp_path, monkeypatch):
    small(monkeypatch)
    written = {
        split: (name, *scene(tmp_path / 'in', name, seed))
        for seed, (split, name) in enumerate({'train': TRAIN, 'val': VAL, 'test': TEST}.items())
    }
    report = convert(tmp_path / 'in', tmp_path / 'out', tile=30)
    for split, (name, pixels, classes) in written.items():
        assert stems(tmp_path / 'out', split) == [
            f'{name}-ortho_r{row:03}_c{col:03}' for row in (0, 1) for col in (0, 1)
        ]
        assert read(tmp_path / 'out', 'img', name, 1, 1).shape == (20, 40, 3)
        np.testing.assert_array_equal(whole(tmp_path / 'out', 'img', name), pixels['ortho'])
        np.testing.assert_array_equal(whole(tmp_path / 'out', 'aux', name)[..., 0], pixels['elev'])
        np.testing.assert_array_equal(whole(tmp_path / 'out', 'label', name)[..., 0], classes)
        assert report.pixels[split].tolist() == [*np.bincount(classes.ravel()), 0]
    assert 'tiles: 4 train, 4 val, 4 test' in str(report)
    assert 'scenes: 1 train, 1 val, 1 test' in str(report)
    assert 'WARNING' not in str(report)


def test_magenta_is_no_label_and_other_colours_are_counted(tmp_path):
    label = COLOURS[np.arange(50 * 70).reshape(SHAPE) % 6]
    label[:3, :5] = IGNORE
    label[10, :7] = (1, 2, 3)
    label[11, 0] = (0, 0, 0)
    scene(tmp_path / 'in', TRAIN, label=label)
    report = convert(tmp_path / 'in', tmp_path / 'out')  # smaller than a tile: one tile
    (stem,) = stems(tmp_path / 'out', 'train')
    with rasterio.open(tmp_path / 'out' / 'label' / f'{stem}.tif') as raster:
        written = raster.read(1)
    expected = np.arange(50 * 70).reshape(SHAPE) % 6
    expected[:3, :5] = expected[10, :7] = expected[11, 0] = 255
    np.testing.assert_array_equal(written, expected)
    assert report.pixels['train'][-1] == 15 + 7 + 1
    sentence = f'{TRAIN}-label.png holds 8 pixels of 2 colours that no class has, most often'
    assert f'{sentence} (1, 2, 3) (7); they are no label' in str(report)


def test_a_label_with_an_alpha_band_is_read_by_its_colours_where_it_shows_them(tmp_path):
    _, classes = scene(tmp_path / 'in', TRAIN)
    label = np.dstack([COLOURS[classes], np.full(SHAPE, 255, np.uint8)])
    label[:3, :5, 3] = 0
    scene(tmp_path / 'in', TRAIN, label=label)
    report = convert(tmp_path / 'in', tmp_path / 'out')
    hidden = np.bincount(classes[:3, :5].ravel(), minlength=6)
    expected = [*(np.bincount(classes.ravel()) - hidden), 15]
    assert report.pixels['train'].tolist() == expected


def test_heights_that_are_none_are_nodata_and_tiles_without_any_are_left_out(tmp_path, monkeypatch):
    small(monkeypatch)
    elev = np.random.default_rng(3).uniform(210, 240, SHAPE).astype(np.float32)
    elev[0, :4] = [-9999, -32767, np.nan, 3e38]  # the file names -9999 alone
    elev[30:, 30:] = -9999  # the last tile
    elev[:30, 30:] = 222  # the second one
    elev[:2, 40] = -32767
    write = lambda path, pixels: plain(  # noqa: E731
        path, pixels, **({'nodata': -9999} if pixels.dtype == np.float32 else {})
    )
    scene(tmp_path / 'in', TRAIN, write=write, elev=elev)
    report = convert(tmp_path / 'in', tmp_path / 'out', tile=30)
    assert report.dropped == {'no auxiliary data': 1, 'one height alone': 1}
    assert stems(tmp_path / 'out', 'train') == [
        f'{TRAIN}-ortho_r000_c000',
        f'{TRAIN}-ortho_r001_c000',
    ]
    assert len(list((tmp_path / 'out' / 'label').iterdir())) == 2
    assert 'pixels without auxiliary data: 4;' in str(report)
    heights = read(tmp_path / 'out', 'aux', TRAIN, 0, 0)[..., 0]
    assert heights[0, :4].tolist() == [-9999] * 4
    np.testing.assert_array_equal(heights[1:], elev[1:30, :30])
    dataset = DATASETS.build(
        dict(
            Config.fromfile(CONFIG).train_dataloader.dataset,
            data_root=str(tmp_path / 'out'),
            pipeline=[dict(type='LoadMultimodalRaster')],
        )
    )
    img = dataset[0]['img']
    assert img[0, :4, 3].tolist() == [0] * 4
    assert img[..., 3].max() == 1


def test_tiles_that_have_no_label_are_left_out(tmp_path, monkeypatch):
    small(monkeypatch)
    label = COLOURS[np.zeros(SHAPE, int)]
    label[:30, :30] = IGNORE
    scene(tmp_path / 'in', TRAIN, label=label)
    report = convert(tmp_path / 'in', tmp_path / 'out', tile=30)
    assert report.dropped == {'no label': 1}
    assert len(stems(tmp_path / 'out', 'train')) == 3
    expected = 'train has no pixel of clutter, vegetation, water, ground, car: its scenes have none'
    assert expected in str(report)


def placed(cell):
    def write(path, pixels):
        grid = from_origin(366_000, 5_808_000, *([cell] * 2 if 'elev' in path.name else [0.1] * 2))
        return write_raster(path, pixels, transform=grid)

    return write


def test_heights_of_another_resolution_are_warped_by_their_places(tmp_path):
    rows, cols = np.mgrid[:30, :40]  # cells of 20 cm from the ortho's corner, and further than it
    plane = 200 + 2.0 * (cols + 0.5) * 0.2 - 1.0 * (rows + 0.5) * 0.2
    scene(tmp_path / 'in', TRAIN, write=placed(0.2), elev=plane.astype(np.float32))
    convert(tmp_path / 'in', tmp_path / 'out')
    (stem,) = stems(tmp_path / 'out', 'train')
    with rasterio.open(tmp_path / 'out' / 'aux' / f'{stem}.tif') as raster:
        heights = raster.read(1)
        assert raster.transform == from_origin(366_000, 5_808_000, 0.1, 0.1)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    expected = 200 + 0.2 * cols - 0.1 * rows
    np.testing.assert_allclose(heights[1:, 1:], expected[1:, 1:], atol=1e-3)


def test_heights_on_the_grid_of_the_ortho_are_copied_bit_by_bit(tmp_path):
    pixels, _ = scene(tmp_path / 'in', TRAIN, write=placed(0.1))
    convert(tmp_path / 'in', tmp_path / 'out')
    (stem,) = stems(tmp_path / 'out', 'train')
    with rasterio.open(tmp_path / 'out' / 'aux' / f'{stem}.tif') as raster:
        np.testing.assert_array_equal(raster.read(1), pixels['elev'])


def test_the_folder_around_the_download_and_the_readmes_spelling_are_found(tmp_path):
    scene(tmp_path / 'dataset-sample', TRAIN)
    (found,) = find_scenes(tmp_path)
    assert (found.name, found.split) == (TRAIN, 'train')
    (tmp_path / 'dataset-sample' / 'elevations').rename(tmp_path / 'dataset-sample' / 'elevation')
    (found,) = find_scenes(tmp_path / 'dataset-sample')
    assert found.elevation.is_file()


def test_missing_files_are_refused_in_a_sentence_before_anything_is_written(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'holds no images/\*-ortho.tif: give the folder'):
        convert(tmp_path / 'nowhere', tmp_path / 'out')
    for seed, name in enumerate((TRAIN, TEST)):
        scene(tmp_path / 'in', name, seed)
    (tmp_path / 'in' / 'elevations' / f'{TEST}-elev.tif').unlink()
    sentence = rf'^1 files of 2 scenes are missing: .*{TEST}-elev.tif; unpack .*, or move the ortho'
    with pytest.raises(FileNotFoundError, match=sentence):
        convert(tmp_path / 'in', tmp_path / 'out')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in']


@pytest.mark.parametrize(
    ('changes', 'sentence'),
    [
        (
            dict(label=COLOURS[np.zeros((48, 70), int)]),
            r'-label.png has 48 x 70 pixels and .*-ortho.tif 50 x 70; they may differ by 1',
        ),
        (
            dict(elev=np.ones((25, 35), np.float32)),
            r'-elev.tif has 25 x 35 pixels and .* 50 x 70, and they do not both say where they lie',
        ),
        (
            dict(label=np.zeros(SHAPE, np.uint8)),
            r'-label.png has 1 band\(s\) of uint8; a label has 3 of uint8, its colours',
        ),
        (
            dict(elev=np.ones((*SHAPE, 3), np.float32)),
            r'-elev.tif has 3 bands; an elevation has 1',
        ),
        (dict(ortho=np.ones(SHAPE, np.uint8)), r'-ortho.tif has 1 band\(s\), but \(1, 2, 3\) are'),
        (
            dict(label=COLOURS[np.zeros(SHAPE, int)] * 0 + np.array(IGNORE, np.uint8)),
            r"^No tile of the scenes in .* is left: \{'no label': 1\}",
        ),
    ],
    ids=['mask size', 'elevation size', 'mask of values', 'bands', 'grey ortho', 'no label'],
)
def test_rasters_that_do_not_fit_are_refused_and_nothing_stays(tmp_path, changes, sentence):
    scene(tmp_path / 'in', TRAIN, **changes)
    with pytest.raises(ValueError, match=sentence):
        convert(tmp_path / 'in', tmp_path / 'out')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['in']


def test_a_folder_around_the_input_is_refused_and_an_earlier_conversion_replaced(tmp_path):
    scene(tmp_path / 'in', TRAIN)
    with pytest.raises(ValueError, match='lies in .*, which is written: give another folder'):
        convert(tmp_path / 'in', tmp_path)
    convert(tmp_path / 'in', tmp_path / 'out')
    convert(tmp_path / 'in', tmp_path / 'out', tile=30, overwrite=True)
    (tmp_path / 'out' / 'notes.md').write_text('mine')
    with pytest.raises(ValueError, match=r"holds \['notes.md'\] besides an earlier conversion"):
        convert(tmp_path / 'in', tmp_path / 'out', overwrite=True)


def test_the_command_converts_and_the_config_trains_validates_and_tests(
    tmp_path, monkeypatch, capsys
):
    for seed, name in enumerate((TRAIN, VAL, TEST)):
        scene(tmp_path / 'in', name, seed)
    argv = ['dronedeploy.py', str(tmp_path / 'in'), '--out', str(tmp_path / 'out')]
    monkeypatch.setattr(sys, 'argv', argv)
    runpy.run_path(str(TOOL), run_name='__main__')
    assert 'scenes: 1 train, 1 val, 1 test' in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r'^error: .*out is not empty: give --overwrite'):
        runpy.run_path(str(TOOL), run_name='__main__')
    config = Config.fromfile(CONFIG)
    for split in ('train', 'val', 'test'):
        dataset = config[f'{split}_dataloader'].dataset
        assert dataset.ann_file == f'{split}.txt'
        dataset.data_root = str(tmp_path / 'out')
    config.train_dataloader.sampler.window_size = (28, 42)
    runner = train_toy(config, tmp_path / 'work')
    assert runner.iter == 2
    assert 0 <= runner.message_hub.get_scalar('test/mIoU').current() <= 100
