import json

import cv2
import numpy as np
import pytest
from scenes.checked_tiles import SHAPE, tile_pixels, tiles_config, write_tile
from scenes.commands import run_tool
from scenes.rasters import write_raster


def check(data, monkeypatch, *options, change=lambda config: None, **settings):
    """Run the command; gives its exit code."""
    config = tiles_config(data, **settings)
    change(config)
    (data / 'config.py').write_text(config.pretty_text)
    with pytest.raises(SystemExit) as ended:
        run_tool(monkeypatch, 'misc/check_data.py', data / 'config.py', *options)
    return ended.value.code


def test_good_data_are_tabled_and_end_with_code_0(data, monkeypatch, capsys):
    assert check(data, monkeypatch, train='ac') == 0
    printed = capsys.readouterr().out
    assert '3 tiles measured: 0 findings will hurt, 0 to look at.' in printed
    for word in ('val, test', '96 x 128', 'house', 'shift', 'Auxiliary channel 1', '0%, 0%'):
        assert word in printed


def test_columns_of_the_auxiliary_raster_are_left_out_where_there_is_none(
    data, monkeypatch, capsys
):
    prefix = {'img_path': 'rgb', 'seg_map_path': 'labels'}
    options = ['--pictures', data / 'pictures', '--json', data / 'numbers.json', '--cfg-options']
    for key, value in (('mean', '120,120,120'), ('std', '60,60,60'), ('modality_channels', '3,0')):
        options.append(f'model.data_preprocessor.{key}=[{value}]')
    assert check(data, monkeypatch, *options, data_prefix=prefix) == 0
    printed = capsys.readouterr().out
    assert 'aux shift' not in printed and 'Auxiliary' not in printed and '0%, 0%' not in printed
    assert json.loads((data / 'numbers.json').read_text())['tiles'][0]['aux'] is None
    assert (data / 'pictures/train/a.png').exists()


def test_each_bad_tile_is_named_and_the_others_are_measured(data, monkeypatch, capsys):
    (data / 'rgb/a.tif').write_bytes(b'')
    (data / 'dsm/b.tif').unlink()
    assert check(data, monkeypatch, train='ac') == 1
    printed = capsys.readouterr().out
    assert 'rgb/a.tif is empty (0 bytes)' in printed and 'dsm/b.tif does not exist' in printed
    assert '1 tiles measured: 2 findings will hurt' in printed


def test_parts_of_the_config_that_disagree_are_findings(data, monkeypatch, capsys):
    assert check(data, monkeypatch, '--cfg-options', 'val_dataloader.num_workers=0',
                 'val_dataloader.persistent_workers=True', train='ac') == 1  # fmt: skip
    printed = capsys.readouterr().out
    assert 'config: val_dataloader.persistent_workers=True, but val_dataloader.num_w' in printed
    assert ': 1 findings will hurt' in printed


def test_json_and_pictures_hold_what_was_measured(data, monkeypatch):
    pictures, numbers = data / 'pictures', data / 'out/numbers.json'
    options = ('--pictures', str(pictures), '--json', str(numbers), '--split', 'train')
    heights = tile_pixels(seed=0)[1]
    write_raster(data / 'dsm/a.tif', np.where(heights > 39.5, np.nan, heights))
    code = check(data, monkeypatch, *options, train='ac')
    content = json.loads(numbers.read_text())
    assert code == any(finding['level'] == 'hurts' for finding in content['findings'])
    assert [tile['optical']['height'] for tile in content['tiles']] == [96, 96]
    assert content['tiles'][0]['shift'].keys() == {'row', 'col', 'fit'}
    assert sorted(path.name for path in (pictures / 'train').iterdir()) == ['a.png', 'c.png']
    assert min(cv2.imread(str(pictures / 'train/a.png')).shape[:2]) > SHAPE[0]


def test_tiles_of_two_folders_that_have_one_name_get_a_picture_each(data, monkeypatch):
    write_tile(data / 'more', 'a', seed=5)

    def join(config):
        part = config.train_dataloader.dataset
        parts = [part, {**part, 'data_root': str(data / 'more'), 'ann_file': ''}]
        config.train_dataloader.dataset = {'type': 'ConcatDataset', 'datasets': parts}

    check(data, monkeypatch, '--pictures', str(data / 'out'), '--split', 'train', change=join)
    assert sorted(path.name for path in (data / 'out/train').iterdir()) == ['a.png', 'a_2.png']


def test_data_that_are_not_there_end_with_one_sentence(data, monkeypatch):
    code = check(data, monkeypatch, data_root=str(data / 'elsewhere'))
    assert code.startswith('error: The split file') and 'Traceback' not in code
