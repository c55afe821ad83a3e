import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from scenes.prediction import DATASET, META, PALETTE

from mobanet_mmseg.inference.trained import (
    find_device,
    load_segmentor,
    open_truth,
    reading_spec,
)
from mobanet_mmseg.modalities import AuxRange, StackSpec


def test_bands_and_range_are_those_of_the_test_dataset():
    def spec(**dataset):
        return reading_spec(Config({'test_dataloader': {'dataset': {**DATASET, **dataset}}}))

    assert spec() == StackSpec((1, 2, 3), (1,), AuxRange('tile'))
    given = spec(img_bands=(4, 1, 2), aux_bands=(2,), aux_range=(-5.0, 40.0))
    assert given == StackSpec((4, 1, 2), (2,), AuxRange.parse((-5.0, 40.0)))
    assert (spec().aux_fill, spec(aux_fill=0.3).aux_fill) == (0.0, 0.3)
    percentiles = spec(aux_range=('percentile', 1, 99)).aux_range
    assert (percentiles.kind, percentiles.percentages) == ('percentile', (1, 99))


def test_bands_of_the_sources_follow_those_of_the_tiles():
    told = {'img_bands': (4, 3, 2, 8), 'aux_bands': (2, 1)}

    def spec(**dataset):
        dataset = {**DATASET, 'tiled_from': told, **dataset}
        return reading_spec(Config({'test_dataloader': {'dataset': dataset}}))

    found = spec(img_bands=(4, 1), aux_bands=(2,))
    assert (found.img_bands, found.img_sources) == ((4, 1), (8, 4))
    assert (found.aux_bands, found.aux_sources) == ((2,), (1,))
    with pytest.raises(
        ValueError, match=r'img_bands=\(5,\) of the test dataset, but tiled_from kn'
    ):
        spec(img_bands=(5,))


def joined(*parts):
    datasets = [{**DATASET, **part} for part in parts]
    repeated = {'type': 'RepeatDataset', 'times': 2, 'dataset': datasets[0]}
    joined = {'type': 'ConcatDataset', 'datasets': [repeated, *datasets[1:]]}
    return Config({'test_dataloader': {'dataset': joined}})


def test_bands_and_range_are_those_of_all_datasets_that_a_test_joins():
    given = {'img_bands': (4, 1, 2), 'aux_bands': (2,), 'aux_range': (-5.0, 40.0)}
    spec = reading_spec(joined(given, {**given, 'data_root': 'elsewhere'}))
    assert spec == StackSpec((4, 1, 2), (2,), AuxRange.parse((-5.0, 40.0)))
    for key, value in (('img_bands', (1, 2, 3)), ('aux_range', 'tile')):
        with pytest.raises(ValueError, match=f'joins do not agree on {key}, so that'):
            reading_spec(joined(given, {**given, key: value}))
    with pytest.raises(ValueError, match='is ADE20KDataset, but only'):
        reading_spec(joined(given, {'type': 'ADE20KDataset'}))


def test_truth_is_not_guessed_where_joined_datasets_give_classes_other_values(scene):
    config = joined({}, {'label_values': (4, 3, 2, 1)})
    assert reading_spec(config) == StackSpec((1, 2, 3), (1,), AuxRange('tile'))
    with pytest.raises(ValueError, match='do not agree on label_values'):
        open_truth(config, scene['rgb'], scene['aux'])(None)


def test_archive_dataset_chooses_its_bands_itself():
    dataset = {'type': 'ISPRSPotsdamDataset', 'tiles': 'test', 'optical': 'rgbir'}
    config = Config({'test_dataloader': {'dataset': dataset}})
    assert reading_spec(config).img_bands == (1, 2, 3, 4)


def test_config_without_such_a_dataset_is_refused():
    for content, found in (
        ({}, 'none'),
        ({'test_dataloader': {'dataset': {'type': 'ADE20KDataset'}}}, 'ADE20KDataset'),
    ):
        with pytest.raises(ValueError, match=f'is {found}, but only a MultimodalSegDataset'):
            reading_spec(Config(content))


def test_truth_is_read_from_colours_and_from_indices(scene, tmp_path):
    colours = np.uint8(PALETTE)[scene['expected']]
    place = {'driver': 'GTiff', 'height': 37, 'width': 53, 'dtype': 'uint8'}
    with rasterio.open(tmp_path / 'colours.tif', 'w', count=3, **place) as label:
        label.write(np.moveaxis(colours, -1, 0))
    with rasterio.open(tmp_path / 'indices.tif', 'w', count=1, **place) as label:
        label.write(scene['expected'], 1)
    with rasterio.open(tmp_path / 'two.tif', 'w', count=2, **place) as label:
        label.write(np.stack([scene['expected']] * 2))
    config = Config.fromfile(scene['config'])
    for name in ('colours', 'indices'):
        truth = open_truth(config, scene['rgb'], tmp_path / f'{name}.tif')(None)
        assert np.array_equal(truth, scene['expected'])
    with pytest.raises(ValueError, match=r'two\.tif has 2 bands'):
        open_truth(config, scene['rgb'], tmp_path / 'two.tif')(None)


def test_missing_checkpoint_is_named(scene, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'checkpoint .*absent\.pth does not exist'):
        load_segmentor(scene['config'], tmp_path / 'absent.pth')


def test_file_that_is_no_checkpoint_is_refused(scene):
    for content in (b'', b'not a checkpoint'):
        scene['checkpoint'].write_bytes(content)
        with pytest.raises(ValueError, match=r'model\.pth is no checkpoint that torch can read'):
            load_segmentor(scene['config'], scene['checkpoint'])


@pytest.mark.parametrize(
    'content',
    [{'state_dict': {}}, {'gain': torch.ones(4, 1, 1)}, {'state_dict': {}, 'meta': {}}],
)
def test_weights_without_class_names_are_refused(scene, content):
    torch.save(content, scene['checkpoint'])
    with pytest.raises(ValueError, match=r'model\.pth holds no state_dict with the classes'):
        load_segmentor(scene['config'], scene['checkpoint'])


@pytest.mark.parametrize('weights', [{}, {'gain': torch.ones(5, 1, 1)}, {'other': torch.ones(1)}])
def test_checkpoint_that_leaves_a_weight_random_is_refused(scene, weights):
    torch.save({'state_dict': weights, 'meta': {'dataset_meta': META}}, scene['checkpoint'])
    with pytest.raises(ValueError, match=r'model\.pth does not fit the config: .*gain'):
        load_segmentor(scene['config'], scene['checkpoint'])


def test_device_that_is_not_there_is_refused(scene):
    with pytest.raises(ValueError, match='Device cuda:99 is not there'):
        load_segmentor(scene['config'], scene['checkpoint'], 'cuda:99')
    with pytest.raises(ValueError, match="There is no device 'gpu'"):
        load_segmentor(scene['config'], scene['checkpoint'], 'gpu')


def test_device_of_its_own_is_the_process_s(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: 1)
    assert find_device('auto') == torch.device('cuda:1')
    assert find_device('cpu') == torch.device('cpu')
