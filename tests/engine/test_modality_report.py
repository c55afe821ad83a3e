import json

import pytest
from scenes.channel_reader import run, write_experiment

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
