"""The command compare.py: on a tile of 24 pixels, 6 of them houses."""

import json
import shutil

import numpy as np
import pytest
from mmengine.config import Config
from scenes.channel_reader import TRUTH, write_experiment
from scenes.commands import run_tool
from scenes.rasters import read_raster, write_raster

from mobanet_mmseg.writing import read_text

TOOL = 'analysis_tools/compare.py'
RED, GREEN = 0, 1  # the truth; above zero everywhere, so that all is house


@pytest.fixture
def pair(tmp_path, monkeypatch):
    """Folder with the runs `right` and `houses`, on one tile."""
    for name, channel in (('right', RED), ('houses', GREEN)):
        write_experiment(tmp_path, channel=channel)
        (tmp_path / name).mkdir()
        for file, new in (('config.py', 'config.py'), ('model.pth', 'epoch_1.pth')):
            shutil.move(tmp_path / file, tmp_path / name / new)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compare(patch, *arguments):
    run_tool(patch, TOOL, *arguments, '--out', 'out')
    return json.loads(read_text('out/report.json'))


def test_runs_are_compared_by_hand(pair, monkeypatch, capsys):
    found = compare(monkeypatch, 'right', 'houses')
    assert found['tiles']['tile'] == {'right': [[18, 0], [0, 6]], 'houses': [[0, 18], [0, 6]]}
    assert found['scores']['right']['mIoU'] == 100
    assert found['scores']['houses']['IoU.house'] == 25
    difference = found['differences']['houses']
    assert difference['OA'] == {'difference': -75, 'low': None, 'high': None}
    assert difference['mIoU']['difference'] == 100 * (0 + 6 / 24) / 2 - 100
    text = read_text('out/report.md')
    assert '| OA | 100.00 | 25.00 | -75.00 |' in text
    assert 'Tiles: 1, which is few' in text
    assert text in capsys.readouterr().out
    assert read_text('out/scores.csv').splitlines()[:2] == ['score,right,houses', 'OA,100.0,25.0']
    pictures = [path.name for path in (pair / 'out' / 'tiles').iterdir()]
    assert pictures == ['tile.png']
    assert (pair / 'out' / 'confusion.png').exists()
    np.testing.assert_array_equal(read_raster(pair / 'out/maps/houses/tile.tif'), TRUTH * 0 + 1)


def test_label_maps_of_anything_are_compared_with_a_checkpoint(pair, monkeypatch):
    """Of the maps one is in colours, and one has no class for the last row."""
    ours = TRUTH.copy()
    ours[-1] = 255
    write_raster(pair / 'ours' / 'tile.tif', ours)
    colours = np.where(TRUTH[..., None] == 1, np.uint8([0, 0, 255]), np.uint8(255))
    write_raster(pair / 'colours' / 'tile.tif', colours)
    found = compare(
        monkeypatch,
        *('A=ours', 'colours', '--config', 'right/config.py'),
        *('--run', 'B', 'houses/config.py', 'houses/epoch_1.pth'),
    )
    assert found['left_out_pixels'] == 6
    assert found['tiles']['tile'] == {
        'A': [[12, 0], [0, 6]],
        'colours': [[12, 0], [0, 6]],
        'B': [[0, 12], [0, 6]],
    }
    assert '6 labelled pixels have no class' in read_text('out/report.md')


def change(path, **overrides):
    config = Config.fromfile(path)
    config.merge_from_dict(overrides)
    config.dump(path)


def test_what_cannot_be_compared_is_one_sentence(pair, monkeypatch):
    def refused(sentence, *arguments):
        with pytest.raises(SystemExit, match=f'^error: {sentence}'):
            compare(monkeypatch, *arguments)

    write_raster(pair / 'small' / 'tile.tif', TRUTH[:3])
    write_raster(pair / 'other' / 'another.tif', TRUTH)
    given = ('--config', 'right/config.py')
    refused('1 runs are to be compared', 'right')
    refused("2 runs are .*called \\['right', 'right'\\]", 'right', 'right')
    refused('nowhere is no folder', 'right', 'nowhere')
    refused('small holds label maps: give by --config', 'right', 'small')
    refused('data holds 0 configs .* and no checkpoint', 'right', 'data')
    refused(
        'small/tile.tif has 3 x 6 pixels and 1 bands, but its tile 4 x 6', 'right', 'small', *given
    )
    refused('.*other/tile.tif', 'right', 'other', *given)
    metainfo = dict(classes=('ground', 'roof'))
    change('houses/config.py', **{'test_dataloader.dataset.metainfo': metainfo})
    refused('right has the classes ground, house and houses ground, roof', 'right', 'houses')
    change('houses/config.py', **{'test_dataloader.dataset.data_root': 'elsewhere'})
    shutil.copytree(pair / 'data', pair / 'elsewhere')
    refused('right and houses have other test tiles \\(2 are not in both', 'right', 'houses')


def test_nothing_is_written_over_what_is_read(pair, monkeypatch):
    before = (pair / 'data' / 'img' / 'tile.tif').read_bytes()
    (pair / 'out' / 'maps').mkdir(parents=True)
    (pair / 'out' / 'maps' / 'right').symlink_to(pair / 'data' / 'img')
    with pytest.raises(SystemExit, match='^error: .*tile.tif would be written over .*tile.tif'):
        compare(monkeypatch, 'right', 'houses')
    assert (pair / 'data' / 'img' / 'tile.tif').read_bytes() == before
