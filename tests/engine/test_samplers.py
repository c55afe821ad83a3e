from collections import Counter

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset
from mmengine.runner import Runner
from scenes.rasters import random_tile, write_raster

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset, WindowIndex
from mobanet_mmseg.engine import samplers
from mobanet_mmseg.engine.samplers import RandomWindowSampler

SIZES = {'a': (5, 7), 'b': (4, 9), 'c': (12, 6)}
WINDOW = (4, 6)  # 2 x 2, 1 x 4 and 9 x 1 starts: 17


@pytest.fixture
def tiles(tmp_path):
    for stem, size in SIZES.items():
        optical, heights, labels = random_tile(size)
        write_raster(tmp_path / f'rgb/{stem}.tif', optical)
        write_raster(tmp_path / f'dsm/{stem}.tif', heights)
        write_raster(tmp_path / f'labels/{stem}.tif', labels)
    return MultimodalSegDataset(
        data_root=str(tmp_path),
        data_prefix={'img_path': 'rgb', 'aux_path': 'dsm', 'seg_map_path': 'labels'},
        metainfo={'classes': tuple('abcdef')},
    )


def sampler_of(tiles, num_samples=20, seed=0, **settings):
    return RandomWindowSampler(tiles, num_samples, WINDOW, seed, **settings)


def test_every_window_lies_inside_its_tile(tiles):
    windows = list(sampler_of(tiles, 500))
    assert len(windows) == 500
    for tile, row, col, height, width in windows:
        tall, wide = list(SIZES.values())[tile]
        assert (height, width) == WINDOW and row >= 0 and col >= 0
        assert row + height <= tall and col + width <= wide
    assert all(type(number) is int for number in windows[0])


def test_every_possible_window_is_as_likely(tiles):
    counts = Counter(sampler_of(tiles, 17_000))
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
    assert next(iter(loader.sampler))[3:] == (4, 4)


def test_a_raster_smaller_than_the_window_is_refused_with_its_name(tiles):
    with pytest.raises(ValueError, match=r'rgb/b\.tif has 4 x 9 pixels, fewer than .* 5 x 6'):
        RandomWindowSampler(tiles, 20, (5, 6), 0)


def test_a_window_as_large_as_the_tile_is_the_tile(tiles):
    tiles.get_subset_([0])
    assert set(RandomWindowSampler(tiles, 5, (5, 7), 0)) == {WindowIndex(0, 0, 0, 5, 7)}


def test_what_has_no_tiles_or_no_length_is_refused(tiles):
    with pytest.raises(ValueError, match='got a ConcatDataset'):
        sampler_of(ConcatDataset([tiles]))
    with pytest.raises(ValueError, match='num_samples=0'):
        sampler_of(tiles, 0)


def test_positions_of_huge_tiles_do_not_overflow(tiles):
    sampler = sampler_of(tiles, 100)
    sampler.starts = np.array([[60_000, 60_000], [60_000, 60_000]])
    assert {window.tile for window in sampler} == {0, 1}
    assert max(window.row for window in sampler) < 60_000
