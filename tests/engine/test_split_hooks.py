import logging
import shutil
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmseg.registry import HOOKS
from scenes.rasters import write_potsdam

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset


@pytest.fixture
def archive(tmp_path):
    write_potsdam(tmp_path / 'data', ['2_10', '2_11', '2_13'])
    return tmp_path / 'data'


def tiles(root, *names):
    return ISPRSPotsdamDataset(data_root=str(root), tiles=names)


def runner(train, val=None, test=None):
    config = {}
    if test is not None:
        dataset = {'type': 'ISPRSPotsdamDataset', 'data_root': str(test[0]), 'tiles': test[1:]}
        config = {'test_dataloader': {'dataset': dataset}}
    return SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=train),
        val_dataloader=SimpleNamespace(dataset=val),
        val_loop=val,
        cfg=Config(config),
        logger=logging.getLogger('fake'),
    )


def start(*splits, **settings):
    HOOKS.build({'type': 'SplitOverlapHook', **settings}).before_train(runner(*splits))


def test_tiles_of_their_own_are_trained_and_measured(archive):
    start(tiles(archive, '2_10', '2_11'), tiles(archive, '2_13'), (archive, '2_13'))
    start(tiles(archive, '2_10'))


def test_a_training_tile_in_the_validation_is_refused(archive):
    said = r'1 of the 2 training tiles are in the val_dataloader, too \(.*2_11_RGB.tif\)'
    with pytest.raises(ValueError, match=said):
        start(tiles(archive, '2_10', '2_11'), tiles(archive, '2_11'))


def test_a_training_tile_in_the_test_is_refused_without_building_it(archive):
    with pytest.raises(ValueError, match='are in the test_dataloader, too'):
        start(tiles(archive, '2_10'), tiles(archive, '2_13'), (archive, '2_10', '2_13'))


def test_a_link_to_a_training_tile_is_the_same_tile(archive, tmp_path):
    shutil.copytree(archive, tmp_path / 'linked')
    (link,) = (tmp_path / 'linked').rglob('*2_10_RGB.tif')
    link.unlink()
    link.symlink_to(next(archive.rglob('*2_10_RGB.tif')))
    start(tiles(archive, '2_11'), tiles(tmp_path / 'linked', '2_10', '2_11'))  # a copy is another
    with pytest.raises(ValueError, match='1 of the 1 training tiles'):
        start(tiles(archive, '2_10'), tiles(tmp_path / 'linked', '2_10'))


def test_tiles_are_found_through_wrappers(archive):
    both = ConcatDataset([tiles(archive, '2_10'), tiles(archive, '2_11')])
    for train in (both, RepeatDataset(tiles(archive, '2_11'), 2)):
        with pytest.raises(ValueError, match='1 of the . training tiles'):
            start(train, tiles(archive, '2_11'))


def test_the_test_tiles_of_joined_datasets_are_compared(archive):
    part = {'type': 'ISPRSPotsdamDataset', 'data_root': str(archive)}
    parts = [{**part, 'tiles': ['2_13']}, {**part, 'tiles': ['2_10']}]
    wanted = runner(tiles(archive, '2_10'))
    wanted.cfg = Config(
        {'test_dataloader': {'dataset': {'type': 'ConcatDataset', 'datasets': parts}}}
    )
    with pytest.raises(ValueError, match='1 of the 1 training tiles are in the test_dataloader'):
        HOOKS.build({'type': 'SplitOverlapHook'}).before_train(wanted)


def test_test_tiles_that_are_elsewhere_do_not_stop_a_training(archive, tmp_path):
    start(tiles(archive, '2_10'), None, (tmp_path / 'elsewhere', '2_10'))


def test_test_tiles_that_are_here_are_compared_though_others_are_not(archive, tmp_path):
    (tmp_path / 'split.txt').write_text('absent\ntop_potsdam_2_10_RGB\n')
    dataset = {
        'type': 'MultimodalSegDataset',
        'data_root': str(archive),
        'data_prefix': {'img_path': '2_Ortho_RGB'},
        'ann_file': str(tmp_path / 'split.txt'),
        'metainfo': {'classes': ('a',)},
    }
    wanted = runner(tiles(archive, '2_10'))
    wanted.cfg = Config({'test_dataloader': {'dataset': dataset}})
    with pytest.raises(ValueError, match='1 of the 1 training tiles are in the test_dataloader'):
        HOOKS.build({'type': 'SplitOverlapHook'}).before_train(wanted)


def test_an_overlap_that_is_allowed_is_logged(archive, caplog):
    same = tiles(archive, '2_10')
    start(same, same, allow=True)
    assert 'which would flatter the model' in caplog.text
