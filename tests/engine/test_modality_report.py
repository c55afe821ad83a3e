import json

import numpy as np
import pytest
import torch
from mmengine.runner import save_checkpoint
from scenes.channel_reader import LEGEND, TRUTH, run, write_experiment
from scenes.rasters import write_raster

from mobanet_mmseg.engine.modality_report import ModalityReport, percent_without_aux

TOOL = 'analysis_tools/modality_report.py'


@pytest.mark.parametrize(('seen', 'channel', 'other'), [('rgb', 0, 'aux'), ('aux', 3, 'rgb')])
def test_model_of_one_modality_drops_without_it_and_not_without_the_other(
    tmp_path, monkeypatch, capsys, seen, channel, other
):
    write_experiment(tmp_path, channel=channel)
    run(monkeypatch, tmp_path, TOOL, '--out', 'reports/report.json')
    report = json.loads((tmp_path / 'reports' / 'report.json').read_text())
    full, alone = report['metrics']['both'], report['metrics'][other]
    assert report['metrics'][seen] == full
    assert set(report['drops'][seen].values()) == {0}
    assert {full[name] for name in ('OA', 'mIoU', 'mF1')} == {100}
    # no house is seen any more: 18 of 24 pixels are right, the ground's F1 is 36 / (36 + 6)
    assert (alone['OA'], alone['mIoU'], alone['IoU.house']) == (75, 37.5, 0)
    assert report['drops'][other]['OA'] == 25
    assert report['drops'][other]['mF1'] == pytest.approx(100 - 100 * 36 / 42 / 2, abs=0.006)
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('| OA'))
    stays, falls = ['100.00', '0.00'], ['75.00', '25.00']
    expected = ['100.00', *stays, *falls] if seen == 'rgb' else ['100.00', *falls, *stays]
    assert [cell.strip() for cell in row.split('|')[2:-1]] == expected
    assert list((tmp_path / 'reports').iterdir()) == [tmp_path / 'reports' / 'report.json']


def test_weights_and_data_are_read_once(tmp_path, monkeypatch):
    write_experiment(tmp_path, channel=0)
    run(monkeypatch, tmp_path, TOOL)
    log = next((tmp_path / 'work').glob('*/*.log')).read_text()
    assert log.count('Load checkpoint from') == 1
    for modality in ('both', 'rgb', 'aux'):
        assert log.count(f'the network gets: {modality}') == 1


def test_tiles_without_labels_are_refused_in_one_sentence(tmp_path, monkeypatch):
    missing = {'test_dataloader.dataset.data_prefix.seg_map_path': None}
    write_experiment(tmp_path, channel=0, **missing)
    with pytest.raises(SystemExit, match=r'^error: The test set has no labels'):
        run(monkeypatch, tmp_path, TOOL)


def test_a_model_of_the_optical_image_alone_is_refused_before_it_is_measured(tmp_path, monkeypatch):
    optical = {'mean': [0] * 3, 'std': [1] * 3, 'modality_channels': (3, 0)}
    overrides = {f'model.data_preprocessor.{key}': value for key, value in optical.items()}
    write_experiment(tmp_path, channel=0, **overrides)
    with pytest.raises(SystemExit, match=r"^error: modality='aux', but the model has none"):
        run(monkeypatch, tmp_path, TOOL)


def rows_of(said: str, first: str) -> list[str]:
    """The cells of the table rows that begin so, without the first."""
    rows = [line for line in said.splitlines() if line.startswith(f'| {first} ')]
    return [[cell.strip() for cell in row.split('|')[2:-1]] for row in rows]


def test_the_auxiliary_image_is_absent_in_parts_of_the_area(tmp_path, monkeypatch, capsys):
    write_experiment(tmp_path, channel=3)  # sees a house where the aux is there
    shares = ('--aux-absent', '75', '25', '50')
    run(monkeypatch, tmp_path, TOOL, *shares, '--block', '1', '--out', 'report.json')
    report = json.loads((tmp_path / 'report.json').read_text())
    assert list(report['aux_absent']) == ['25', '50', '75']
    found = [report['aux_absent'][share]['IoU.house'] for share in ('25', '50', '75')]
    assert 100 >= found[0] >= found[1] >= found[2] >= 0  # blocks of less stay absent of more
    assert 100 > found[1] > 0
    # each house that is not seen is one of 24 pixels
    missed = [round((100 - row['OA']) * 0.24) for row in report['aux_absent'].values()]
    assert [round(100 * (6 - n) / 6, 2) for n in missed] == pytest.approx(found, abs=0.01)
    both, *absent, alone = rows_of(capsys.readouterr().out, 'IoU.house')[1]
    assert (both, alone) == ('100.00', '0.00') and absent == [f'{value:.2f}' for value in found]
    assert report['metrics']['both']['OA'] == 100


@pytest.mark.parametrize('kind', ['checkpoint', 'report', 'flat'])
def test_each_modality_alone_is_compared_with_its_bound(tmp_path, monkeypatch, capsys, kind):
    write_experiment(tmp_path, channel=3)
    name = 'bound.pth' if kind == 'checkpoint' else 'bound.json'
    row = {'OA': 80.0, 'mIoU': 75.0, 'IoU.house': None}
    if kind == 'checkpoint':
        weights = dict(meta=dict(dataset_meta=LEGEND), state_dict=dict(weight=-torch.ones(())))
        save_checkpoint(weights, str(tmp_path / name))  # takes houses for ground, if it sees any
    else:
        content = {'metrics': {'both': {'OA': 1}, 'rgb': row}} if kind == 'report' else row
        (tmp_path / name).write_text(json.dumps(content))
    run(monkeypatch, tmp_path, TOOL, '--rgb-bound', name, '--out', 'report.json')
    report = json.loads((tmp_path / 'report.json').read_text())
    both, alone, drop, bound, kept, *_ = rows_of(capsys.readouterr().out, 'OA')[0]
    assert (both, alone, drop) == ('100.00', '75.00', '25.00')
    # without the aux it sees no house; with other weights, nothing but houses: 6 of 24 pixels
    expected = 25.0 if kind == 'checkpoint' else 80.0
    assert (bound, kept) == (f'{expected:.2f}', f'{7500 / expected:.2f}')
    assert report['bounds']['rgb']['OA'] == expected
    assert report['percent_of_bounds']['rgb']['OA'] == 7500 / expected
    assert 'IoU.house' not in report['bounds']['rgb'] or kind == 'checkpoint'
    assert 'aux' not in report['bounds']


def test_a_model_no_better_with_a_modality_than_without_is_warned_of(tmp_path, monkeypatch, capsys):
    write_experiment(tmp_path, channel=0)
    run(monkeypatch, tmp_path, TOOL)
    said = capsys.readouterr().out
    assert said.count('warning: ') == 1
    assert 'the model is no better with its auxiliary image than without' in said


MISTAKES = {
    'all of it': (('--aux-absent', '100'), '--aux-absent got 100: give per cent of the area above'),
    'less than none': (('--aux-absent', '-1'), '--aux-absent got -1: give'),
    'no block': (('--aux-absent', '5', '--block', '0'), 'blocks of 0 pixels'),
    'no file': (('--rgb-bound', 'none.pth'), 'none.pth'),
    'no JSON': (('--rgb-bound', 'none.json'), 'none.json'),
    'another network': (
        ('--aux-bound', 'other.pth'),
        'other.pth does not fit .*give the JSON',
    ),
    'no metrics': (('--aux-bound', 'list.json'), 'list.json holds no metrics .*: give what modal'),
    'words': (('--aux-bound', 'words.json'), "holds no metrics .*'good'.*: give what"),
    'nothing': (('--aux-bound', 'empty.json'), 'empty.json holds no metrics: give what'),
    'over a bound': (('--rgb-bound', 'words.json', '--out', 'words.json'), 'would be written over'),
}


@pytest.mark.parametrize('name', MISTAKES)
def test_mistake_gets_its_sentence_before_anything_is_measured(tmp_path, monkeypatch, capsys, name):
    write_experiment(tmp_path, channel=0)
    other = dict(meta=dict(dataset_meta=LEGEND), state_dict=dict(bias=torch.ones(())))
    save_checkpoint(other, str(tmp_path / 'other.pth'))
    for stem, content in {'list': [1], 'words': {'OA': 'good'}, 'empty': {}}.items():
        (tmp_path / f'{stem}.json').write_text(json.dumps(content))
    options, said = MISTAKES[name]
    with pytest.raises(SystemExit, match=f'^error: .*{said}'):
        run(monkeypatch, tmp_path, TOOL, *options)
    assert 'OA' not in capsys.readouterr().out


def test_area_without_auxiliary_data_is_measured_in_the_files(tmp_path, monkeypatch, capsys):
    holes = np.dstack([TRUTH.astype(np.float32)] * 2)
    holes[1:3, 2:5, 0] = -9999
    holes[2:4, 4:6, 1] = np.nan  # one pixel is in both
    options = {'aux_bands': (1, 2), 'missing_aux': 'zeros', 'aux_range': (0, 1)}
    overrides = {f'test_dataloader.dataset.{key}': value for key, value in options.items()}
    preprocessor = {'mean': [0] * 5, 'std': [1] * 5, 'modality_channels': (3, 2)}
    overrides |= {f'model.data_preprocessor.{key}': value for key, value in preprocessor.items()}
    write_experiment(tmp_path, channel=3, **overrides)
    write_raster(tmp_path / 'data/aux/tile.tif', holes, nodata=-9999)
    run(monkeypatch, tmp_path, TOOL, '--out', 'report.json')
    share = json.loads((tmp_path / 'report.json').read_text())['percent_without_aux']
    assert share == pytest.approx(100 * 9 / 24)
    assert 'without auxiliary data in the files: 37.50 % of the area' in capsys.readouterr().out
    (tmp_path / 'data/aux/tile.tif').unlink()
    run(monkeypatch, tmp_path, TOOL, '--out', 'report.json')
    assert json.loads((tmp_path / 'report.json').read_text())['percent_without_aux'] == 100


def test_a_share_is_not_known_of_other_datasets():
    assert percent_without_aux([1, 2]) is None
    report = ModalityReport({modality: {'OA': 50.0} for modality in ('both', 'rgb', 'aux')})
    assert report.warnings == [] and report.kept == {}
