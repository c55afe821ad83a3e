"""The command tools/test.py: what the network sees, and what is averaged."""

import json
import shutil

import numpy as np
import pytest
import rasterio
from mmseg.models import SegTTAModel
from scenes.channel_reader import TRUTH, ChannelReader, run, write_experiment
from scenes.rasters import read_raster

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


def stock_preprocessor(channels):
    return dict(_delete_=True, type='SegDataPreProcessor', mean=[0] * channels, std=[1] * channels)


def test_a_stock_preprocessor_of_four_channels_leaves_one_modality_out(tmp_path, monkeypatch):
    write_experiment(tmp_path, channel=AUX, **{'model.data_preprocessor': stock_preprocessor(4)})
    found = {}
    for modality in ('both', 'rgb', 'aux'):
        run(monkeypatch, tmp_path, 'test.py', '--modality', modality)
        found[modality] = metrics(tmp_path)['OA']
    assert found == {'both': 100, 'rgb': 75, 'aux': 100}
    run(monkeypatch, tmp_path, 'analysis_tools/modality_report.py', '--out', 'report.json')
    report = json.loads((tmp_path / 'report.json').read_text())['metrics']
    assert {modality: row['OA'] for modality, row in report.items()} == found


def test_a_stock_model_of_the_optical_image_alone_sees_rgb(tmp_path, monkeypatch):
    overrides = {
        'model.data_preprocessor': stock_preprocessor(3),
        'test_dataloader.dataset.data_prefix': dict(
            _delete_=True, img_path='img', seg_map_path='label'
        ),
    }
    write_experiment(tmp_path, channel=RED, **overrides)
    run(monkeypatch, tmp_path, 'test.py', '--modality', 'rgb')
    assert metrics(tmp_path)['OA'] == 100
    with pytest.raises(SystemExit, match=r"^error: modality='aux', but the model has none"):
        run(monkeypatch, tmp_path, 'test.py', '--modality', 'aux')


@pytest.mark.parametrize('tta_model', [None, dict(type='SegTTAModel')])
def test_views_are_prepared_by_the_models_own_preprocessor(tmp_path, monkeypatch, tta_model):
    """A preprocessor beside the model, as MMSeg's configs have it, is not the model's."""
    beside = dict(type='SegDataPreProcessor', mean=[300] * 4, std=[1] * 4)
    views = dict(tta_pipeline=views_of(1.0), tta_model=tta_model, data_preprocessor=beside)
    write_experiment(tmp_path, channel=RED, **views)
    run(monkeypatch, tmp_path, 'test.py', '--tta')
    assert metrics(tmp_path)['OA'] == 100


def test_a_stock_model_of_the_optical_image_alone_is_drawn_and_written(tmp_path, monkeypatch):
    stock = stock_preprocessor(3)
    folders = dict(_delete_=True, img_path='img', seg_map_path='label')
    visualization = dict(_delete_=True, type='SegVisualizationHook', interval=50)
    overrides = {
        'model.data_preprocessor': stock,
        'test_dataloader.dataset.data_prefix': folders,
        'default_hooks.visualization': visualization,
    }
    write_experiment(tmp_path, channel=RED, **overrides)
    run(monkeypatch, tmp_path, 'test.py', '--show-dir', 'pictures', '--out', 'maps')
    assert metrics(tmp_path)['OA'] == 100
    np.testing.assert_array_equal(read_raster(tmp_path / 'maps' / 'tile.tif'), TRUTH)
    assert [path.name for path in (tmp_path / 'pictures').iterdir()] == ['tile.png']


def views_of(*flips):
    """A pipeline whose TestTimeAug gives the image mirrored as it is told."""
    load = [dict(type='LoadMultimodalRaster'), dict(type='LoadRasterAnnotations')]
    mirrored = [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in flips]
    packed = [dict(type='PackSegInputs')]
    return [*load, dict(type='TestTimeAug', transforms=[mirrored, packed])]


@pytest.mark.parametrize('model', [None, dict(type='SegTTAModel')])
def test_views_of_the_config_are_left_to_mmseg(tmp_path, monkeypatch, model):
    """The mirrored view alone: it is what is written, mirrored back by MMSeg."""
    write_experiment(tmp_path, channel=RED, tta_pipeline=views_of(1.0), tta_model=model)
    seen = []
    merge = SegTTAModel.merge_preds
    monkeypatch.setattr(
        SegTTAModel,
        'merge_preds',
        lambda self, views: (seen.append(len(views[0])), merge(self, views))[1],
    )
    run(monkeypatch, tmp_path, 'test.py', '--tta', '--out', 'maps')
    assert seen == [1]
    with rasterio.open(tmp_path / 'maps' / 'tile.tif') as written:
        np.testing.assert_array_equal(written.read(1), TRUTH)


@pytest.mark.parametrize('options', [('--tta',), ('--tta', 'd4')])
def test_without_views_of_its_own_each_window_is_seen_from_eight_sides(
    tmp_path, monkeypatch, options
):
    write_experiment(tmp_path, channel=RED)
    calls = []
    read = ChannelReader.encode_decode
    monkeypatch.setattr(
        ChannelReader,
        'encode_decode',
        lambda self, inputs, metas: (calls.append(inputs.shape[-2:]), read(self, inputs, metas))[1],
    )
    run(monkeypatch, tmp_path, 'test.py', *options)
    assert sorted(calls) == [(4, 6)] * 4 + [(6, 4)] * 4


def test_earlier_augmentation_of_a_config_says_the_new_one(tmp_path, monkeypatch):
    write_experiment(tmp_path, channel=RED, tta_model=dict(type='SymmetryTTAModel'))
    with pytest.raises(SystemExit, match=r'^error: SymmetryTTAModel is model\.test_cfg\.tta now'):
        run(monkeypatch, tmp_path, 'test.py', '--tta')
    run(monkeypatch, tmp_path, 'test.py', '--tta', 'flips')
