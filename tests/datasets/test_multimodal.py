import pickle
import random
import re
import shutil

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, pseudo_collate
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from scenes.limits import no_root
from scenes.rasters import PALETTE, random_tile, write_raster

from mobanet_mmseg.datasets import multimodal
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import WindowIndex
from mobanet_mmseg.modalities import Scaling
from mobanet_mmseg.models.data_preprocessor import MultimodalDataPreProcessor

SHAPE = (37, 53)
CLASSES = ('road', 'house', 'grass', 'tree', 'car', 'rest')
METAINFO = {'classes': CLASSES, 'palette': PALETTE.tolist()}
PREFIX = {'img_path': 'rgb', 'aux_path': 'dsm', 'seg_map_path': 'labels'}
LOAD = [{'type': 'LoadMultimodalRaster'}, {'type': 'LoadRasterAnnotations'}]


def write_tiles(root, stems=('a', 'b'), shape=SHAPE):
    for seed, stem in enumerate(stems):
        optical, heights, labels = random_tile(shape, seed)
        write_raster(root / f'rgb/{stem}_rgb.tif', optical)
        write_raster(root / f'dsm/{stem}_dsm.tif', heights)
        write_raster(root / f'labels/{stem}.tif', labels)


def dataset(root, **settings):
    defaults = {
        'data_root': str(root),
        'data_prefix': PREFIX,
        'img_suffix': '_rgb.tif',
        'aux_suffix': '_dsm.tif',
        'metainfo': METAINFO,
        'pipeline': LOAD,
    }
    return MultimodalSegDataset(**{**defaults, **settings})


def test_a_tile_is_described_for_the_pipeline(tmp_path):
    write_tiles(tmp_path)
    info = dataset(tmp_path).get_data_info(1)
    heights = random_tile(SHAPE, 1)[1]
    assert info['img_path'] == str(tmp_path / 'rgb/b_rgb.tif')
    assert info['aux_path'] == str(tmp_path / 'dsm/b_dsm.tif')
    assert info['seg_map_path'] == str(tmp_path / 'labels/b.tif')
    assert (info['height'], info['width']) == SHAPE and 'window' not in info
    assert info['aux_range'] == Scaling((heights.min(),), (heights.max(),))
    assert (info['img_bands'], info['aux_bands']) == ((1, 2, 3), (1,))


@pytest.mark.parametrize('serialize', [True, False])
def test_a_window_of_a_tile_equals_that_part_of_the_tile(tmp_path, serialize):
    write_tiles(tmp_path)
    tiles = dataset(tmp_path, serialize_data=serialize)
    whole, part = tiles[1], tiles[WindowIndex(1, 5, 8, 20, 30)]
    assert part['window'] == (5, 8, 20, 30) and part['sample_idx'] == 1
    assert part['img_shape'] == part['ori_shape'] == (20, 30)
    np.testing.assert_array_equal(part['img'], whole['img'][5:25, 8:38])
    np.testing.assert_array_equal(part['gt_seg_map'], whole['gt_seg_map'][5:25, 8:38])
    assert whole['img'][..., 3].min() == 0 and whole['img'][..., 3].max() == 1
    assert part['seg_fields'] == whole['seg_fields'] == ['gt_seg_map']


def test_it_is_an_mmseg_dataset_that_survives_pickling(tmp_path):
    write_tiles(tmp_path)
    config = {'type': 'MultimodalSegDataset', 'data_root': str(tmp_path), 'data_prefix': PREFIX}
    config |= {
        'img_suffix': '_rgb.tif',
        'aux_suffix': '_dsm.tif',
        'metainfo': METAINFO,
        'pipeline': LOAD,
    }
    built = DATASETS.build(config)
    assert isinstance(built, BaseSegDataset) and built.metainfo['classes'] == CLASSES
    again = pickle.loads(pickle.dumps(built))
    index = WindowIndex(0, 1, 2, 3, 4)
    np.testing.assert_array_equal(again[index]['img'], built[index]['img'])


def test_what_is_drawn_for_a_window_follows_from_its_seed(tmp_path):
    write_tiles(tmp_path)
    flips = [
        {'type': 'RandomFlip', 'prob': 0.5, 'direction': way} for way in ('horizontal', 'vertical')
    ]
    tiles = dataset(tmp_path, pipeline=[*LOAD, *flips])

    def drawn(seed):
        images = [tiles[WindowIndex(0, 1, 2, 3, 4, seed)]['img'].tobytes() for _ in range(9)]
        return set(images), (random.random(), np.random.random(), torch.rand(()).item())

    images, numbers = drawn(5)
    assert len(images) == 1 and drawn(5) == (images, numbers)
    assert drawn(6)[1] != numbers
    assert len({image for seed in range(20) for image in drawn(seed)[0]}) == 4
    assert len(drawn(None)[0]) > 1


def test_workers_load_what_the_main_process_loads(tmp_path):
    write_tiles(tmp_path)
    tiles = dataset(tmp_path, pipeline=[*LOAD, {'type': 'PackSegInputs'}])
    sampler = {'type': 'RandomWindowSampler', 'num_samples': 6, 'window_size': (16, 24)}
    loaders = [
        Runner.build_dataloader(
            {'dataset': tiles, 'sampler': sampler, 'batch_size': 2, 'num_workers': workers}, seed=3
        )
        for workers in (0, 1)
    ]
    for mine, theirs in zip(*loaders, strict=True):
        for a, b in zip(mine['inputs'], theirs['inputs'], strict=True):
            assert a.shape == (4, 16, 24) and (a == b).all()


def test_a_stock_sampler_gets_whole_tiles(tmp_path):
    write_tiles(tmp_path)
    tiles = dataset(tmp_path)
    shapes = [tiles[index]['img'].shape for index in DefaultSampler(tiles, shuffle=False)]
    assert shapes == [(37, 53, 4), (37, 53, 4)]


def test_a_split_file_names_the_tiles_and_their_order(tmp_path):
    write_tiles(tmp_path, ('a', 'b', 'x/c'))
    (tmp_path / 'split.txt').write_text('x/c\n\n  a\n')
    tiles = dataset(tmp_path, ann_file='split.txt')
    assert [tiles.get_data_info(i)['img_path'] for i in range(len(tiles))] == [
        str(tmp_path / 'rgb/x/c_rgb.tif'),
        str(tmp_path / 'rgb/a_rgb.tif'),
    ]
    assert len(dataset(tmp_path)) == 3


def test_band_order_is_the_configs(tmp_path):
    write_tiles(tmp_path, ['a'])
    optical = random_tile(SHAPE)[0]
    image = dataset(tmp_path, img_bands=[3, 1])[0]['img']
    assert image.shape == (37, 53, 3)
    np.testing.assert_array_equal(image[..., :2], optical[..., [2, 0]])


@pytest.mark.parametrize(
    ('aux_range', 'expected'), [(None, 1.0), ((20, 70), 1 / 50), ('tile', None)]
)
def test_heights_are_scaled_by_the_range_that_the_config_gives(tmp_path, aux_range, expected):
    write_tiles(tmp_path, ['a'])
    heights = random_tile(SHAPE)[1]
    low = {None: 0, 'tile': heights.min()}.get(aux_range, 20)
    expected = expected or 1 / (heights.max() - heights.min())
    image = dataset(tmp_path, aux_range=aux_range)[0]['img']
    np.testing.assert_allclose(image[..., 3], (heights - low) * expected, rtol=1e-4, atol=1e-5)


def test_tiles_without_labels_can_be_predicted_and_not_trained_on(tmp_path):
    write_tiles(tmp_path)
    for prefix in (
        {**PREFIX, 'seg_map_path': None},
        {k: PREFIX[k] for k in ('img_path', 'aux_path')},
    ):
        sample = dataset(tmp_path, data_prefix=prefix, test_mode=True)[0]
        assert 'gt_seg_map' not in sample and sample['img'].shape == (37, 53, 4)
        with pytest.raises(ValueError, match='has no labels to train on'):
            dataset(tmp_path, data_prefix=prefix)


@pytest.mark.parametrize(
    'settings',
    [
        {'data_prefix': {'img_path': 'rgb', 'seg_map_path': 'labels'}},
        {'data_prefix': {**PREFIX, 'aux_path': None}},
        {'aux_bands': ()},
    ],
)
def test_the_optical_image_alone_has_no_other_channel(tmp_path, settings):
    write_tiles(tmp_path)
    shutil.rmtree(tmp_path / 'dsm')  # nothing asks for it
    tiles = dataset(tmp_path, **settings)
    optical, _, labels = random_tile(SHAPE, 1)
    sample = tiles[1]
    assert tiles.aux_bands == () and 'aux_path' not in sample
    np.testing.assert_array_equal(sample['img'], optical)
    np.testing.assert_array_equal(sample['gt_seg_map'], labels)
    part = tiles[WindowIndex(1, 5, 8, 20, 30)]
    np.testing.assert_array_equal(part['img'], optical[5:25, 8:38])


def test_the_kind_of_the_auxiliary_raster_goes_with_the_classes(tmp_path):
    write_tiles(tmp_path)
    assert dataset(tmp_path).metainfo['aux_kind'] == 'height'
    assert dataset(tmp_path, aux_kind='sar').metainfo['aux_kind'] == 'sar'
    with pytest.raises(ValueError, match="aux_kind='radar': give one of 'height', 'sar', 'bands'"):
        dataset(tmp_path, aux_kind='radar')


def test_a_missing_auxiliary_raster_is_0_where_the_config_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(multimodal, 'print_log', lambda text, **_: said.append(text))
    write_tiles(tmp_path, ('a', 'b', 'c'))
    both = dataset(tmp_path)[2]['img']
    (tmp_path / 'dsm/b_dsm.tif').unlink()
    tiles = dataset(tmp_path, missing_aux='zeros')
    assert said == [
        '1 of 3 tiles have no auxiliary raster, which is 0 for them (missing_aux): '
        f'{tmp_path}/rgb/b_rgb.tif.'
    ]
    np.testing.assert_array_equal(tiles[1]['img'][..., :3], random_tile(SHAPE, 1)[0])
    assert tiles[1]['img'].shape == (*SHAPE, 4) and not tiles[1]['img'][..., 3].any()
    np.testing.assert_array_equal(tiles[2]['img'], both)
    (tmp_path / 'labels/a.tif').unlink()  # any other raster stays an error
    with pytest.raises(FileNotFoundError, match='1 of the 8 rasters of 3 tiles are missing'):
        dataset(tmp_path, missing_aux='zeros')


def test_what_stands_for_no_data_is_the_same_in_a_hole_and_without_a_raster(tmp_path):
    write_tiles(tmp_path)
    (tmp_path / 'dsm/b_dsm.tif').unlink()
    heights = random_tile(SHAPE)[1]
    heights[3:9, 5:7] = -9999
    write_raster(tmp_path / 'dsm/a_dsm.tif', heights, nodata=-9999)
    tiles = dataset(tmp_path, missing_aux='zeros', aux_range=(-100, 900), aux_fill=0.25)
    first, second = (tile['img'][..., 3] for tile in tiles)
    assert (first[3:9, 5:7] == 0.25).all() and (second == 0.25).all()
    first[3:9, 5:7] = (heights[0, 0] + 100) / 1000
    heights[3:9, 5:7] = heights[0, 0]
    np.testing.assert_allclose(first, (heights + 100) / 1000, atol=1e-6)
    with pytest.raises(ValueError, match='aux_fill=.0, 1. for 1 auxiliary channels'):
        dataset(tmp_path, aux_fill=[0, 1])


@pytest.mark.parametrize('aux_range', ['tile', ('percentile', 1, 99), (0, 9), None])
def test_an_auxiliary_raster_without_any_value_is_as_good_as_missing(tmp_path, aux_range):
    write_tiles(tmp_path)
    before = dataset(tmp_path, aux_range=aux_range)[0]['img']
    write_raster(tmp_path / 'dsm/b_dsm.tif', np.full(SHAPE, -1, np.float32), nodata=-1)
    settings = {'missing_aux': 'zeros', 'aux_fill': 0.25, 'aux_range': aux_range}
    first, second = (tile['img'] for tile in dataset(tmp_path, **settings))
    np.testing.assert_array_equal(first, before)
    assert (second[..., 3] == 0.25).all()
    if aux_range in ('tile', ('percentile', 1, 99)):
        with pytest.raises(ValueError, match='b_dsm.tif holds no valid value in band 1'):
            dataset(tmp_path, aux_range=aux_range)


def test_a_batch_sees_no_data_missing_rasters_and_masks_as_one(tmp_path):
    write_tiles(tmp_path)
    (tmp_path / 'dsm/b_dsm.tif').unlink()
    heights = random_tile(SHAPE)[1]
    heights[3:9, 5:7] = np.nan
    write_raster(tmp_path / 'dsm/a_dsm.tif', heights)
    pack = {'type': 'PackSegInputs', 'meta_keys': ('img_shape',)}
    settings = {'missing_aux': 'zeros', 'aux_fill': 0.3, 'pipeline': [*LOAD, pack]}
    tiles = dataset(tmp_path, **settings)
    mean, std = [100.0, 90.0, 80.0, 0.3], [50.0, 50.0, 50.0, 0.1]
    prepare = MultimodalDataPreProcessor(mean, std, mcrm=dict(ratio=0, whole_ratio=1.0))
    for training in (False, True):
        batch = pseudo_collate([tiles[index % 2] for index in range(8)])
        whole, without = prepare(batch, training)['inputs'].unflatten(0, (4, 2)).unbind(1)
        assert not without[:, 3].any() and without[:, :3].flatten(2).any(dim=2).all()
        assert not whole[:, 3, 3:9, 5:7].any()
        lost = ~whole.flatten(2).any(dim=2)
        assert (lost.any(dim=1) == training).all()  # rgb or heights, in training alone


def test_every_missing_file_is_named_in_one_error(tmp_path):
    write_tiles(tmp_path, ('a', 'b', 'c'))
    gone = [tmp_path / 'dsm/a_dsm.tif', tmp_path / 'labels/c.tif']
    for path in gone:
        path.unlink()
    said = f'2 of the 9 rasters of 3 tiles are missing: {gone[0]}, {gone[1]}. Put them there'
    for test_mode in (False, True):
        with pytest.raises(FileNotFoundError, match=re.escape(said)):
            dataset(tmp_path, test_mode=test_mode)


@pytest.mark.parametrize('code', ['utf-8-sig', 'utf-16'])
def test_a_byte_order_mark_is_no_part_of_a_tiles_name(tmp_path, code):
    write_tiles(tmp_path, ['a'])
    (tmp_path / 'split.txt').write_text('a\r\n', encoding=code)
    assert len(dataset(tmp_path, ann_file='split.txt')) == 1
    (tmp_path / 'split.txt').write_bytes('Stra\u00dfe'.encode('latin-1'))
    with pytest.raises(ValueError, match=r'split\.txt is no text in UTF-8'):
        dataset(tmp_path, ann_file='split.txt')


def test_a_missing_folder_or_split_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}/rgb of the optical rasters'):
        dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match=f'split file {tmp_path}/no.txt does not exist'):
        dataset(tmp_path, ann_file='no.txt')
    with pytest.raises(ValueError, match='give the folder img_path, and aux_path where'):
        dataset(tmp_path, data_prefix={'aux_path': 'dsm'})


def test_an_empty_split_and_a_tile_named_twice_are_refused(tmp_path):
    write_tiles(tmp_path)
    (tmp_path / 'empty.txt').write_text('\n')
    with pytest.raises(ValueError, match=r'has no tile: its split .*empty\.txt'):
        dataset(tmp_path, ann_file='empty.txt')
    (tmp_path / 'twice.txt').write_text('a\nb\na\n')
    with pytest.raises(ValueError, match=r"twice\.txt names \['a'\] more than once"):
        dataset(tmp_path, ann_file='twice.txt')


@pytest.mark.parametrize('folder', ['dsm/b_dsm', 'labels/b'])
def test_sizes_that_differ_by_more_than_an_edge_are_refused(tmp_path, folder):
    write_tiles(tmp_path)
    write_raster(tmp_path / f'{folder}.tif', random_tile((37, 51), 1)[1].astype(np.uint8))
    said = f'{tmp_path}/{folder}.tif has 37 x 51 pixels and {tmp_path}/rgb/b_rgb.tif 37 x 53'
    with pytest.raises(ValueError, match=said):
        dataset(tmp_path)


def test_a_height_model_without_heights_is_refused(tmp_path):
    write_tiles(tmp_path)
    for value, said in ((-1, 'holds no valid value'), (8, 'is constant')):
        write_raster(tmp_path / 'dsm/b_dsm.tif', np.full(SHAPE, value, np.int16), nodata=-1)
        with pytest.raises(ValueError, match=f'{tmp_path}/dsm/b_dsm.tif {said}'):
            dataset(tmp_path)


def test_a_wrong_number_of_bands_is_refused(tmp_path):
    write_tiles(tmp_path)
    with pytest.raises(ValueError, match=r'a_rgb\.tif has 3 band\(s\), but \(1, 2, 3, 4\)'):
        dataset(tmp_path, img_bands=(1, 2, 3, 4))
    with pytest.raises(ValueError, match=r'a_dsm\.tif has 1 band\(s\), but \(2,\)'):
        dataset(tmp_path, aux_bands=(2,))
    write_raster(tmp_path / 'labels/b.tif', np.zeros((*SHAPE, 4), np.uint8))
    with pytest.raises(ValueError, match=r'labels/b\.tif has 4 bands; a label raster has 1'):
        dataset(tmp_path)


def test_a_truncated_tile_is_found_before_training(tmp_path):
    write_tiles(tmp_path)
    path = tmp_path / 'rgb/b_rgb.tif'
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f'{path} is truncated'):
        dataset(tmp_path)


def test_colours_without_a_palette_are_refused(tmp_path):
    write_tiles(tmp_path, ['a'])
    write_raster(tmp_path / 'labels/a.tif', PALETTE[random_tile(SHAPE)[2]])
    with pytest.raises(ValueError, match=r'labels/a\.tif is a label in colours, but .* no palette'):
        dataset(tmp_path, metainfo={'classes': CLASSES})
    assert dataset(tmp_path)[0]['gt_seg_map'].max() == 5


@pytest.mark.parametrize(
    ('settings', 'said'),
    [
        ({'reduce_zero_label': True}, 'label_values'),
        ({'backend_args': {'backend': 'petrel'}}, 'on disk'),
        ({'label_values': (1, 2)}, r'label_values=\(1, 2\) for 6 classes'),
        ({'label_values': (1, 2, 3, 4, 5, 5)}, 'one value per class'),
        ({'metainfo': {}}, 'has 0 classes'),
        ({'missing_aux': 'skip'}, "missing_aux='skip': give 'error' or 'zeros'"),
        ({'aux_range': 'minmax'}, "give 'tile'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, settings, said):
    write_tiles(tmp_path, ['a'])
    with pytest.raises(ValueError, match=said):
        dataset(tmp_path, **settings)


def test_a_subset_of_tiles_can_be_chosen(tmp_path):
    write_tiles(tmp_path, ('a', 'b', 'c'))
    assert len(dataset(tmp_path, indices=2)) == 2
    subset = dataset(tmp_path).get_subset([2])
    assert subset[WindowIndex(0, 0, 0, 4, 5)]['img_path'].endswith('c_rgb.tif')


def test_real_rasters_of_land_cover_are_read(shared, tmp_path):
    root = tmp_path / 'eolearn'  # the range of the heights is kept beside them
    root.mkdir()
    for raster in shared('real_data/eolearn').glob('*.tif'):
        shutil.copy(raster, root)
    tiles = MultimodalSegDataset(
        data_root=str(root),
        data_prefix={'img_path': '', 'aux_path': '', 'seg_map_path': ''},
        img_suffix='rgb.tif',
        aux_suffix='dsm.tif',
        seg_map_suffix='label.tif',
        metainfo={'classes': ('cultivated', 'forest', 'grass', 'shrub', 'artificial')},
        label_values=(1, 2, 3, 4, 8),
        label_ignore=(0,),
        pipeline=LOAD,
    )
    sample = tiles[0]
    assert sample['img'].shape == (101, 100, 4) and sample['aux_range'] == Scaling((664,), (801,))
    assert sample['img'][..., :3].max() == 119 and sample['img'][..., 3].max() == 1
    assert set(np.unique(sample['gt_seg_map'])) <= {0, 1, 2, 3, 4, 255}
    window = tiles[WindowIndex(0, 40, 30, 61, 70)]
    np.testing.assert_array_equal(window['img'], sample['img'][40:, 30:])


def test_a_dataset_in_a_folder_that_may_not_be_entered_says_so(open_folder):
    dataset = {
        'type': 'MultimodalSegDataset',
        'data_root': str(open_folder),
        'data_prefix': {'img_path': 'shut', 'aux_path': 'shut'},
        'metainfo': {'classes': ('a', 'b'), 'palette': [[0, 0, 0], [1, 1, 1]]},
        'ann_file': 'test.txt',
        'test_mode': True,
        'pipeline': [],
    }
    write_raster(open_folder / 'shut' / 'a.tif', np.zeros((4, 5), np.uint8))
    (open_folder / 'test.txt').write_text('a')
    (open_folder / 'shut').chmod(0)
    with (
        no_root(),
        pytest.raises(OSError, match=r'shut/a\.tif \(its folder may not be entered\)'),
    ):
        DATASETS.build(dataset)
