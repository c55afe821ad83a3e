from types import SimpleNamespace

import pytest

from mobanet_mmseg.experiments import tiles
from mobanet_mmseg.experiments.tiles import TilePaths, find_tiles


class Dataset(list):
    def get_data_info(self, index):
        return self[index]


@pytest.fixture
def config(monkeypatch):
    """A config with the test tiles a_1, a_12 (without labels) and, in another folder, a_1 again."""
    first = [dict(img_path='x/a_1.tif', aux_path='h/a_1.tif', seg_map_path='l/a_1.tif')]
    second = [dict(img_path='x/a_12.tif', aux_path='h/a_12.tif'), dict(img_path='y/a_1.tif')]
    monkeypatch.setattr(tiles, 'test_datasets', lambda _: [Dataset(first), Dataset(second)])
    return SimpleNamespace()


def test_test_tiles_are_named_by_their_stems(config):
    assert find_tiles(config, None, None, None, None) == [
        TilePaths('a_1', 'x/a_1.tif', 'h/a_1.tif', 'l/a_1.tif'),
        TilePaths('a_12', 'x/a_12.tif', 'h/a_12.tif'),
        TilePaths('a_1_2', 'y/a_1.tif'),
    ]
    assert [tile.name for tile in find_tiles(config, ['12', 'a_1'], None, None, None)] == [
        'a_12',
        'a_1',
    ]


def test_a_pair_of_rasters_takes_their_place(config):
    (tile,) = find_tiles(config, None, 'z/b.tif', 'h.tif', None)
    assert tile == TilePaths('b', 'z/b.tif', 'h.tif')
    assert tile.rasters == ['z/b.tif', 'h.tif']


@pytest.mark.parametrize(
    ('asked', 'sentence'),
    [
        ((['c'], None, None, None), r'0 test tiles are called c: give one of a_1, a_12, a_1_2\.'),
        ((['a_'], None, None, None), '3 test tiles are called a_'),
        ((['a_1'], 'b.tif', None, None), 'and not both'),
        ((None, None, 'h.tif', None), 'give --rgb too'),
    ],
)
def test_what_names_no_tile_is_refused(config, asked, sentence):
    with pytest.raises(ValueError, match=sentence):
        find_tiles(config, *asked)
