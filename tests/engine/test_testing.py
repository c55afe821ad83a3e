import json
import shutil

import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from scenes.channel_reader import TRUTH, run, write_experiment
from scenes.paths import ROOT

from mobanet_mmseg.engine.testing import choose_augmentation, choose_modality

RED, AUX = 0, 3


def metrics(folder):
    (written,) = (folder / 'work').glob('*/*.json')
    found = json.loads(written.read_text())
    shutil.rmtree(folder / 'work')
    return found


@pytest.mark.parametrize('augmentation', [(), ('--tta',), ('--tta', 'flips')])
def test_one_modality_alone_is_measured(tmp_path, monkeypatch, augmentation):
    write_experiment(tmp_path, channel=AUX)
    found = {}
    for modality in ('both', 'rgb', 'aux'):
        run(monkeypatch, tmp_path, 'test.py', '--modality', modality, *augmentation)
        found[modality] = metrics(tmp_path)['OA']
    assert found == {'both': 100, 'rgb': 75, 'aux': 100}  # it looks at the aux


def test_a_model_without_modalities_is_refused_in_one_sentence(tmp_path, monkeypatch):
    stock = dict(_delete_=True, type='SegDataPreProcessor', mean=[0] * 4, std=[1] * 4)
    write_experiment(tmp_path, channel=RED)
    text = (tmp_path / 'config.py').read_text()
    (tmp_path / 'base.py').write_text(text)
    (tmp_path / 'config.py').write_text(
        f"_base_ = ['base.py']\nmodel = dict(data_preprocessor={stock!r})"
    )
    with pytest.raises(SystemExit, match=r'^error: .*config.py is SegDataPreProcessor, which'):
        run(monkeypatch, tmp_path, 'test.py', '--modality', 'rgb')
    with pytest.raises(SystemExit, match=r'^error: .* model is SegDataPreProcessor, which'):
        run(monkeypatch, tmp_path, 'analysis_tools/modality_report.py')


@pytest.mark.parametrize('augmentation', [(), ('--tta',)], ids=['plain', 'tta'])
@pytest.mark.parametrize('metric', ['ISPRSMetric', 'IoUMetric'])
def test_tiles_without_labels_are_predicted_and_written(
    tmp_path, monkeypatch, augmentation, metric
):
    overrides = {
        'test_dataloader.dataset.data_prefix.seg_map_path': None,
        'test_evaluator': dict(type=metric),
    }
    write_experiment(tmp_path, channel=RED, **overrides)
    options = ('--out', 'maps', '--show-dir', 'pictures', *augmentation)
    run(monkeypatch, tmp_path, 'test.py', *options)
    with rasterio.open(tmp_path / 'maps' / 'tile.tif') as written:
        np.testing.assert_array_equal(written.read(1), TRUTH)
    assert (tmp_path / 'pictures' / 'tile.png').exists()
    assert 'nothing is measured' in next((tmp_path / 'work').glob('*/*.log')).read_text()


@pytest.mark.parametrize('name', ['isprs_potsdam', 'isprs_vaihingen_converted', 'multimodal'])
def test_tta_of_our_configs_is_all_eight_symmetries_of_the_plain_test(name):
    config = Config.fromfile(ROOT / 'configs' / '_base_' / 'datasets' / f'{name}.py')
    runtime = Config.fromfile(ROOT / 'configs' / '_base_' / 'default_runtime.py')
    assert config.tta_pipeline == config.test_pipeline == config.test_dataloader.dataset.pipeline
    assert runtime.tta_model == dict(type='SymmetryTTAModel', symmetries='d4')


def config_of(**settings):
    dataset = dict(dataset=dict(pipeline=[dict(type='LoadMultimodalRaster')]))
    return Config(dict(model=dict(type='MoBaNet'), test_dataloader=dataset, **settings))


def test_augmentation_of_a_config_of_mmsegs_is_left_to_it():
    views = [dict(type='TestTimeAug', transforms=[])]
    config = config_of(tta_pipeline=views, tta_model=dict(type='SegTTAModel'))
    choose_augmentation(config, 'config')
    assert config.test_dataloader.dataset.pipeline == views
    assert config.model == dict(type='SegTTAModel', module=dict(type='MoBaNet'))


def test_augmentation_that_is_asked_for_by_name_needs_nothing_of_the_config():
    config = config_of()
    choose_augmentation(config, 'flips')
    assert config.test_dataloader.dataset.pipeline == [dict(type='LoadMultimodalRaster')]
    module = dict(type='MoBaNet')
    assert config.model == dict(type='SymmetryTTAModel', symmetries='flips', module=module)


def test_augmentation_that_would_do_nothing_is_refused():
    with pytest.raises(ValueError, match='has no tta_pipeline and no tta_model: give --tta d4'):
        choose_augmentation(config_of(), 'config')
    plain = config_of(tta_pipeline=[dict(type='Load')], tta_model=dict(type='SegTTAModel'))
    with pytest.raises(ValueError, match='SegTTAModel, does not turn it: give --tta d4'):
        choose_augmentation(plain, 'config')


def test_modality_reaches_the_preprocessor():
    config = config_of()
    config.model.data_preprocessor = dict(type='MultimodalDataPreProcessor')
    choose_modality(config, 'aux')
    assert config.model.data_preprocessor.modality == 'aux'
