"""A study of runs that are stood in for, and one run for real."""

import json

import numpy as np
import pytest
from scenes.commands import run_tool
from scenes.experiments import stay_in_process, write_toys
from scenes.studies import stand_in, write_study

from mobanet_mmseg.experiments import study_report
from mobanet_mmseg.experiments.runs import RESULT
from mobanet_mmseg.writing import read_text

TOOL = 'analysis_tools/run_study.py'


@pytest.fixture
def unplotted(monkeypatch):
    """Draw nothing, which takes longer than all the rest."""
    monkeypatch.setattr(study_report, 'draw_cells', lambda *_: np.zeros((2, 3, 3), np.uint8))


def nine_of_ten(run, modality, tile):
    return 9


def test_it_goes_on_where_it_was_stopped_and_reports_what_is_done(
    tmp_path, monkeypatch, capsys, unplotted
):
    def one_fails(run, modality, tile):
        if run.title == 'one/full, seed 2':
            raise OSError('The disk is full.')
        return 9

    study = write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    begun = stand_in(monkeypatch, one_fails)
    run_tool(monkeypatch, TOOL, study, '--cells', 'plain', 'rgb')
    assert begun == ['one/plain, seed 1', 'one/rgb, seed 1', 'one/plain, seed 2', 'one/rgb, seed 2']
    place = tmp_path / 'work_dirs/study_study'
    assert 'PARTIAL: 4 of 10 runs' in read_text(place / 'study.md')
    begun.clear()
    with pytest.raises(SystemExit) as ended:
        run_tool(monkeypatch, TOOL, study, '--jobs', 2)
    assert ended.value.code == 1
    assert len(begun) == 6 and not {'one/plain, seed 1'} & {*begun}
    said = capsys.readouterr().out
    assert '] one/full, seed 2: FAILED: The disk is full.' in said
    assert '] one/plain, seed 1: mIoU 81.82 (both), 81.82 (rgb), 81.82 (aux), done before' in said
    text = read_text(place / 'study.md')
    assert 'PARTIAL: 9 of 10 runs' in text and '- one/full, seed 2: The disk is full.' in text
    stand_in(monkeypatch, nine_of_ten)
    run_tool(monkeypatch, TOOL, study)
    assert read_text(place / 'study.md').startswith('# A study; 2 seeds; 10 runs\n')


def test_report_runs_nothing(tmp_path, monkeypatch, capsys):
    begun = stand_in(monkeypatch, nine_of_ten)
    place = tmp_path / 'place'
    run_tool(monkeypatch, TOOL, write_study(tmp_path), '--report', '--work-dir', place)
    assert not begun and capsys.readouterr().out.splitlines()[0] == f'{place / "study.md"}'
    assert 'PARTIAL: 0 of 10 runs' in read_text(place / 'study.md')


def test_a_run_is_trained_and_tested_with_both_modalities_and_with_either(tmp_path, monkeypatch):
    config = str(write_toys(tmp_path)[0])
    study = write_study(
        tmp_path,
        config=config,
        seeds=[1],
        options=dict(train_dataloader=dict(batch_size=2, sampler=dict(num_samples=4))),
        cells=dict(full=dict(title='Full')),
        datasets=dict(one={}),
        tables={},
    )
    stay_in_process(monkeypatch)
    place = tmp_path / 'place'
    run_tool(monkeypatch, TOOL, study, '--work-dir', place, '--workers', 0)
    result = json.loads((place / 'one/full/seed_1' / RESULT).read_text())
    assert [*result['metrics']] == ['both', 'rgb', 'aux']
    assert result['training']['iterations'] == 2
    assert read_text(place / 'study.md').startswith('# A study; 1 seed; 1 run\n')


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--jobs', 0], 'error: --jobs is at least 1, --workers at least 0'),
        (['--cells', 'b'], 'error: There is no cell b: choose of plain, full, rgb, aux'),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, options, sentence):
    study = write_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f'^{sentence}'):
        run_tool(monkeypatch, TOOL, study, *options)
    with pytest.raises(SystemExit, match=r'^error: nowhere\.py is neither a file'):
        run_tool(monkeypatch, TOOL, 'nowhere.py')
    assert not (tmp_path / 'work_dirs').exists()
