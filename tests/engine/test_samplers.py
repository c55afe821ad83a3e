from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.runner import Runner
from scenes.rasters import random_tile, write_raster
from torch.utils.data import Subset

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import WindowIndex
from mobanet_mmseg.engine import samplers
from mobanet_mmseg.engine.samplers import RandomWindowSampler

SIZES = {'a': (5, 7), 'b': (4, 9), 'c': (12, 6)}
WINDOW = (4, 6)  # 2 x 2, 1 x 4 and 9 x 1 starts: 17


def tiles_in(folder, sizes, **settings):
    for stem, size in sizes.items():
        optical, heights, labels = random_tile(size)
        write_raster(folder / f'rgb/{stem}.tif', optical)
        write_raster(folder / f'dsm/{stem}.tif', heights)
        write_raster(folder / f'labels/{stem}.tif', labels)
    return MultimodalSegDataset(
        data_root=str(folder),
        data_prefix={'img_path': 'rgb', 'aux_path': 'dsm', 'seg_map_path': 'labels'},
        metainfo={'classes': tuple('abcdef')},
        **settings,
    )


@pytest.fixture
def tiles(tmp_path):
    return tiles_in(tmp_path, SIZES)


def sampler_of(tiles, num_samples=20, seed=0, **settings):
    return RandomWindowSampler(tiles, num_samples, WINDOW, seed, **settings)


def test_every_window_lies_inside_its_tile(tiles):
    windows = list(sampler_of(tiles, 500))
    assert len(windows) == 500
    for tile, row, col, height, width, _ in windows:
        tall, wide = list(SIZES.values())[tile]
        assert (height, width) == WINDOW and row >= 0 and col >= 0
        assert row + height <= tall and col + width <= wide
    assert all(type(number) is int for number in windows[0])


def test_every_possible_window_is_as_likely(tiles):
    counts = Counter(index[:5] for index in sampler_of(tiles, 17_000))
    assert len(counts) == 17  # all of them, of all tiles
    assert min(counts.values()) > 850 and max(counts.values()) < 1150  # 1000 +- 5 sigma


def test_an_epoch_follows_from_the_seed_and_its_number_alone(tiles):
    first = sampler_of(tiles)
    epochs = []
    for epoch in range(3):
        first.set_epoch(epoch)
        epochs.append(list(first))
        assert list(first) == epochs[-1]
    resumed = sampler_of(tiles)
    resumed.set_epoch(2)
    assert list(resumed) == epochs[2]
    assert epochs[0] != epochs[1] != epochs[2]
    assert list(sampler_of(tiles, seed=1)) != epochs[0]


def test_processes_share_one_sequence(tiles, monkeypatch):
    alone = list(sampler_of(tiles, 12))
    shards = []
    for rank in range(3):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 3))
        sampler = sampler_of(tiles, 12)
        assert len(sampler) == 4
        shards.append(list(sampler))
    assert [shards[i % 3][i // 3] for i in range(12)] == alone


def test_processes_get_the_same_number(tiles, monkeypatch):
    for rank in range(3):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 3))
        sampler = sampler_of(tiles, 10)
        assert len(sampler) == len(list(sampler)) == 4


def test_without_a_seed_one_is_drawn(tiles):
    assert isinstance(sampler_of(tiles, seed=None).seed, int)


def test_it_is_named_by_a_config_and_gets_the_runners_seed(tiles):
    sampler = {'type': 'RandomWindowSampler', 'num_samples': 8, 'window_size': 4}
    loader = Runner.build_dataloader(
        {'dataset': tiles, 'sampler': sampler, 'batch_size': 2, 'num_workers': 0}, seed=7
    )
    assert loader.sampler.seed == 7 and len(loader) == 4
    assert next(iter(loader.sampler)).window[2:] == (4, 4)


def test_a_raster_smaller_than_the_window_is_refused_with_its_name(tiles):
    with pytest.raises(ValueError, match=r'rgb/b\.tif has 4 x 9 pixels, fewer than .* 5 x 6'):
        RandomWindowSampler(tiles, 20, (5, 6), 0)


def test_a_window_as_large_as_the_tile_is_the_tile(tiles):
    tiles.get_subset_([0])
    windows = {index.window for index in RandomWindowSampler(tiles, 5, (5, 7), 0)}
    assert windows == {(0, 0, 5, 7)}


def test_each_window_has_a_seed_of_its_own(tiles):
    seeds = [index.seed for index in sampler_of(tiles, 500)]
    assert len(set(seeds)) == 500
    assert 0 <= min(seeds) < 2**26 and 2**32 - 2**26 < max(seeds) < 2**32


@pytest.mark.parametrize(('first', 'left'), [(0, 20), (8, 12), (20, 0), (24, 0)])
def test_windows_that_were_trained_on_are_left_out(tiles, monkeypatch, first, left):
    for rank in range(2):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 2))
        sampler = sampler_of(tiles, 40)
        windows = list(sampler)
        sampler.first = first
        assert len(sampler) == left and list(sampler) == windows[first:]


def test_what_has_no_tiles_or_no_length_is_refused(tiles):
    with pytest.raises(ValueError, match='got a Subset: name the dataset without that wrapper'):
        sampler_of(Subset(tiles, [0]))
    tiles.get_cat_ids = lambda index: [0]
    with pytest.raises(ValueError, match='got a ClassBalancedDataset'):
        sampler_of(ClassBalancedDataset(tiles, 0.1))
    with pytest.raises(ValueError, match='num_samples=0'):
        sampler_of(tiles, 0)


def test_positions_of_huge_tiles_do_not_overflow(tiles):
    sampler = sampler_of(tiles, 100)
    sampler.starts = np.array([[60_000, 60_000], [60_000, 60_000]])
    assert {window.tile for window in sampler} == {0, 1}
    assert max(window.row for window in sampler) < 60_000


READ = [{'type': 'LoadMultimodalRaster'}]


def test_windows_of_two_folders_are_those_of_all_tiles_alike(tiles, tmp_path):
    more = tiles_in(tmp_path / 'more', {'a': (4, 8)})  # 1 x 3 starts: 20 with the first folder's
    joined = ConcatDataset([tiles, more])
    counts = Counter(index[:5] for index in sampler_of(joined, 20_000))
    assert len(counts) == 20 and {tile for tile, *_ in counts} == {0, 1, 2, 3}
    assert min(counts.values()) > 850 and max(counts.values()) < 1150


@pytest.mark.parametrize('wrap', ['joined', 'repeated', 'nested'])
def test_a_wrapper_gives_the_very_window_that_is_drawn(tmp_path, wrap):
    first = tiles_in(tmp_path / 'one', SIZES, pipeline=READ)
    other = tiles_in(tmp_path / 'two', {'a': (6, 8)}, pipeline=READ)
    paths = [part.tile_size(index)[0] for part in (first, other) for index in range(len(part))]
    if wrap == 'joined':
        dataset = ConcatDataset([first, other])
    elif wrap == 'repeated':
        dataset, paths = RepeatDataset(other, 3), paths[3:] * 3
    else:
        dataset = RepeatDataset(other, 1)
        dataset.dataset, paths = ConcatDataset([first, other]), paths * 2
        dataset.times = 2
        dataset._fully_initialized = False
        dataset.full_init()
    for index in sampler_of(dataset, 40):
        item = dataset[index]
        assert item['img_path'] == paths[index.tile]
        assert item['window'] == index.window and item['img'].shape[:2] == WINDOW


def test_a_repeated_folder_is_drawn_from_more_often(tmp_path):
    one, two = (tiles_in(tmp_path / name, {'a': WINDOW}) for name in ('one', 'two'))
    joined = ConcatDataset([one, two])
    joined.datasets[1] = RepeatDataset(two, 3)
    tiles = Counter(window.tile > 0 for window in sampler_of(joined, 4000))
    assert 2850 < tiles[True] < 3150


def test_two_folders_train_by_a_config(tmp_path):
    kind = {'type': 'MultimodalSegDataset', 'pipeline': READ}
    kind['metainfo'] = {'classes': tuple('abcdef')}
    kind['data_prefix'] = {'img_path': 'rgb', 'aux_path': 'dsm', 'seg_map_path': 'labels'}
    for name in ('one', 'two'):
        tiles_in(tmp_path / name, SIZES)
    folders = [{**kind, 'data_root': str(tmp_path / name)} for name in ('one', 'two')]
    repeated = {'type': 'RepeatDataset', 'times': 2, 'dataset': folders[1]}
    dataset = {'type': 'ConcatDataset', 'datasets': [folders[0], repeated]}
    sampler = {'type': 'RandomWindowSampler', 'num_samples': 60, 'window_size': WINDOW}
    loader = Runner.build_dataloader(
        {
            **{'dataset': dataset, 'sampler': sampler, 'batch_size': 3, 'num_workers': 1},
            'collate_fn': {'type': 'pseudo_collate'},
        },
        seed=0,
    )
    paths = {path for batch in loader for path in batch['img_path']}
    assert len(paths) == 6


def test_folders_of_other_channels_do_not_make_a_batch(tiles, tmp_path):
    alone = tiles_in(tmp_path / 'alone', SIZES, aux_bands=())
    with pytest.raises(ValueError, match=r'have 3 \+ 0 and 3 \+ 1 optical \+ auxiliary channels'):
        sampler_of(ConcatDataset([tiles, alone]))


def test_windows_are_ordered_like_tuples():
    windows = [WindowIndex(1, 0, 0, 4, 6), WindowIndex(0, 2, 0, 4, 6), WindowIndex(0, 1, 0, 4, 6)]
    assert sorted(windows) == windows[::-1]
