import csv
import json
import math

import cv2
import pytest
from scenes.channel_reader import run, write_experiment

from mobanet_mmseg.experiments.degradation import DegradationReport, plan
from mobanet_mmseg.models.degradation import Degradation

TOOL = 'analysis_tools/degradation.py'
FEW = ('--kinds', 'mask', 'shift', '--levels', 'mask=1', 'shift=1,2', '--out', 'curves')


def records(folder):
    with (folder / 'curves/degradation.csv').open() as file:
        rows = list(csv.DictReader(file))
    return {(row['modality'], row['kind'], float(row['level'])): row for row in rows}


@pytest.mark.parametrize(('seen', 'channel', 'other'), [('rgb', 0, 'aux'), ('aux', 3, 'rgb')])
def test_model_of_one_modality_suffers_where_that_is_degraded_alone(
    tmp_path, monkeypatch, capsys, seen, channel, other
):
    write_experiment(tmp_path, channel=channel)
    run(monkeypatch, tmp_path, TOOL, *FEW)
    found = records(tmp_path)
    mean = {key: float(row['mIoU']) for key, row in found.items()}
    assert len(mean) == 1 + 2 * 3
    assert {mean[key] for key in mean if key[0] != seen} == {100}
    assert mean[other, 'mask', 1] == 100
    # no house is seen any more: 18 of 24 pixels are right
    assert (mean[seen, 'mask', 1], float(found[seen, 'mask', 1]['IoU.house'])) == (37.5, 0)
    assert mean[seen, 'shift', 2] <= mean[seen, 'shift', 1] <= 100
    numbers = json.loads((tmp_path / 'curves/degradation.json').read_text())
    assert numbers['finished']
    assert len(numbers['measured']) == 7
    text = (tmp_path / 'curves/degradation.md').read_text()
    assert '| mask 1 | 37.50 | 62.50 | 75.00 | 0.00 |' in text
    assert f'{seen}, mask 1: mIoU 37.50, 62.50 below' in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / 'curves/degradation.png')).shape[2] == 3
    assert len(list((tmp_path / 'curves').iterdir())) == 4


def test_weights_and_data_are_read_once(tmp_path, monkeypatch):
    write_experiment(tmp_path, channel=0)
    run(monkeypatch, tmp_path, TOOL, *FEW, '--of', 'aux')
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert log.count('Load checkpoint from') == 1
    assert log.count('per class results') == 1 + 3


def test_what_is_measured_is_not_measured_again(tmp_path, monkeypatch):
    write_experiment(tmp_path, channel=0)
    less = ('--out', 'curves', '--of', 'rgb', '--kinds', 'mask', '--levels')
    run(monkeypatch, tmp_path, TOOL, *less, 'mask=0.5')
    first = records(tmp_path)
    path = tmp_path / 'curves/degradation.json'
    told = json.loads(path.read_text())
    told['measured'][1]['IoU.house'] = None  # as of a class that is not there
    path.write_text(json.dumps(told))
    run(monkeypatch, tmp_path, TOOL, *less, 'mask=0.5,1', '--resume', '--work-dir', 'again')
    log = next((tmp_path / 'again').glob('*/*.log')).read_text()
    assert log.count('per class results') == 1
    second = records(tmp_path)
    assert len(second) == 3
    assert second['rgb', 'mask', 0.5] == {**first['rgb', 'mask', 0.5], 'IoU.house': ''}
    assert json.loads(path.read_text())['finished']
    with pytest.raises(SystemExit, match=r'degradation.json was measured with another seed: give'):
        run(monkeypatch, tmp_path, TOOL, *less, 'mask=1', '--resume', '--seed', '3')


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (('--levels', 'blur=a'), r'--levels got blur=a: give a kind and its levels'),
        (('--levels', 'fog=1'), r'--levels got fog=1, but the kinds are mask, '),
        (('--kinds', 'mask', '--levels', 'blur=1'), '--levels got blur=1, but the kinds are mask'),
        (('--levels', 'mask=2'), r'mask got the level 2; it is a number of 0 to 1'),
        (('--block', '0'), r'--block got 0'),
    ],
)
def test_levels_that_are_none_are_refused(tmp_path, monkeypatch, options, sentence):
    write_experiment(tmp_path, channel=0)
    with pytest.raises(SystemExit, match=f'^error: {sentence}'):
        run(monkeypatch, tmp_path, TOOL, *options)


@pytest.mark.parametrize(
    ('overrides', 'sentence'),
    [
        ({'data_prefix.seg_map_path': None}, 'The test set has no labels'),
        ({'aux_bands': ()}, 'The model sees the optical image alone: give --of rgb'),
    ],
)
def test_data_of_no_use_are_refused_before_anything_is_measured(
    tmp_path, monkeypatch, overrides, sentence
):
    prefixed = {f'test_dataloader.dataset.{key}': value for key, value in overrides.items()}
    write_experiment(tmp_path, channel=0, **prefixed)
    with pytest.raises(SystemExit, match=f'^error: {sentence}'):
        run(monkeypatch, tmp_path, TOOL, *FEW, '--of', 'aux')
    assert not list((tmp_path / 'curves').iterdir())


def test_model_of_the_optical_image_alone_has_it_degraded(tmp_path, monkeypatch):
    optical = {'mean': [0] * 3, 'std': [1] * 3, 'modality_channels': (3, 0)}
    overrides = {f'model.data_preprocessor.{key}': value for key, value in optical.items()}
    overrides['test_dataloader.dataset.aux_bands'] = ()
    write_experiment(tmp_path, channel=0, **overrides)
    levels = ('--kinds', 'mask', '--levels', 'mask=1', '--out', 'curves')
    run(monkeypatch, tmp_path, TOOL, *levels)
    assert list(records(tmp_path)) == [('', 'none', 0), ('rgb', 'mask', 1)]


def test_plan_goes_through_levels_kinds_and_modalities():
    planned = plan(('rgb', 'aux'), ('blur', 'resolution'), ['blur=4,1,1', 'resolution=1,2'])
    levels = [('blur', 1), ('blur', 4), ('resolution', 2)]  # of 1 it is as it is
    assert planned == [Degradation(k, m, lv) for m in ('rgb', 'aux') for k, lv in levels]
    assert len(plan(('rgb', 'aux'), ('mask', 'noise', 'blur', 'shift', 'resolution'))) == 40


def test_part_of_a_report_says_so_and_absent_classes_are_no_numbers(tmp_path):
    planned = plan(('rgb',), ('blur',), ['blur=1,2'])
    report = DegradationReport({'seed': '0'}, planned)
    report.add(None, {'mIoU': 80.0, 'IoU.car': math.nan})
    report.write(tmp_path)
    report.add(planned[0], {'mIoU': 70.0, 'IoU.car': math.nan})
    report.write(tmp_path)
    text = (tmp_path / 'degradation.md').read_text()
    assert '- not finished: 1 of 2 are not measured yet' in text
    assert '| blur 1 | 70.00 | 10.00 | nan |' in text
    numbers = json.loads((tmp_path / 'degradation.json').read_text())
    assert not numbers['finished']
    assert numbers['measured'][1] == {
        'modality': 'rgb', 'kind': 'blur', 'level': 1.0, 'mIoU': 70.0, 'IoU.car': None
    }  # fmt: skip


def test_metrics_of_another_evaluator_are_shown_as_they_are_named():
    report = DegradationReport({}, [])
    report.add(None, {'val/aAcc': 90.0, 'val/mIoU': 70.0})
    assert report.shown == ['val/mIoU']
    report.add(None, {'Dice': 90.0})
    assert report.shown == ['Dice']
    assert report.plot().ndim == 3
