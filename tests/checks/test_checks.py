import shutil

import numpy as np
import pytest
from scenes import checked_tiles
from scenes.checked_tiles import MODEL, SHAPE, said, the_only, tile_pixels, tiles_config
from scenes.rasters import write_raster

from mobanet_mmseg.checks.checks import check_config


def test_good_data_have_no_findings(data):
    assert said(data, train='ac') == []


RGB_ALONE = {'data_prefix': {'img_path': 'rgb', 'seg_map_path': 'labels'}}


def test_the_optical_image_alone_is_checked(data):
    assert said(data, **RGB_ALONE) == []
    write_raster(data / 'labels/a.tif', tile_pixels(seed=0)[2][:, ::-1])
    assert 'the label raster fits the optical one better' in the_only(said(data, **RGB_ALONE))[2]
    report = check_config(tiles_config(data, **RGB_ALONE)).tiles[0].report
    assert report.aux is report.shift is report.aux_range is None and report.percentiles == ()


def test_a_tile_may_lack_its_auxiliary_raster_where_that_is_zeros(data):
    (data / 'dsm/a.tif').unlink()
    assert 'dsm/a.tif does not exist' in the_only(said(data, train='ac'))[2]
    assert said(data, train='ac', missing_aux='zeros') == []
    write_raster(data / 'dsm/a.tif', np.full(SHAPE, np.nan, np.float32))  # all of it is missing
    assert 'hold no data' in the_only(said(data, train='ac', missing_aux='zeros'))[2]


def test_no_data_that_look_unlike_a_mask_are_found(data, monkeypatch):
    heights = tile_pixels(seed=0)[1]
    heights[:5, :64] = -9999  # 320 of 96 * 128 pixels
    write_raster(data / 'dsm/a.tif', heights, nodata=-9999)
    assert said(data, train='ac') == []  # the mean is 0
    normalised = {'mean': [120.0] * 3 + [0.3], 'std': [60.0] * 3 + [0.1]}
    monkeypatch.setattr(
        checked_tiles, 'MODEL', {'data_preprocessor': {**MODEL['data_preprocessor'], **normalised}}
    )
    level, split, text = the_only(said(data, train='ac'))
    assert (level, split) == ('look at it', 'train')
    assert text == (
        '2.6% of it have no auxiliary data, and -3 in their place after the normalisation, where a '
        'masked modality is 0: give the dataset aux_fill=0.3, the mean, so that both are one to '
        'the network'
    )
    assert said(data, train='ac', aux_fill=0.3) == []
    (data / 'dsm/a.tif').unlink()
    assert '100.0% of it have no' in the_only(said(data, train='ac', missing_aux='zeros'))[2]


@pytest.mark.parametrize(('split', 'level'), [('a', 'hurts'), ('b', 'look at it')])
def test_a_class_that_never_occurs_is_found(data, split, level):
    labels = tile_pixels(seed='ab'.index(split))[2]
    write_raster(data / f'labels/{split}.tif', np.where(labels == 1, 255, labels))
    assert the_only(said(data))[0] == level
    assert 'no pixel of its tiles is house' in said(data)[0][2]


def test_the_same_file_and_the_same_pixels_in_train_and_test_are_found(data):
    assert 'it is in val, test, too' in the_only(said(data, train='ab'))[2]
    for folder in ('rgb', 'dsm', 'labels'):
        shutil.copy(data / folder / 'b.tif', data / folder / 'd.tif')
    write_raster(data / 'rgb/d.tif', tile_pixels(seed=1)[0], compress='deflate')  # other bytes
    level, split, text = the_only(said(data, train='ad'))
    assert (level, split) == ('hurts', 'train')
    assert 'b.tif, which has the same pixels, is in val, test, too' in text
    level, _, text = the_only(said(data, train='ac', test='bd'))
    assert level == 'look at it' and 'it counts twice' in text


def test_the_same_unreadable_file_in_both_splits_is_found(data):
    (data / 'rgb/b.tif').write_bytes(b'')
    assert any('it is in val, test, too' in text for *_, text in said(data, train='ab'))


def test_one_split_is_checked_alone(data):
    (data / 'rgb/a.tif').write_bytes(b'')
    assert said(data, split='test') == []
    assert the_only(said(data, split='train'))[1] == 'train'


def test_an_empty_split_is_found(data):
    assert 'its split is empty' in the_only(said(data, train=''))[2]


def test_datasets_are_found_through_wrappers(data):
    config = tiles_config(data)
    part = config.train_dataloader.dataset
    concat = {'type': 'ConcatDataset', 'datasets': [part]}
    config.train_dataloader.dataset = {'type': 'RepeatDataset', 'times': 2, 'dataset': concat}
    assert len(check_config(config).tiles) == 2


def test_a_config_without_such_a_split_is_refused(data):
    config = tiles_config(data)
    config.pop('train_dataloader')
    with pytest.raises(ValueError, match='has no train_dataloader to check'):
        check_config(config, 'train')
