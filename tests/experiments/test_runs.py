import os
import threading

import pytest
from mmengine.config import Config
from scenes.paths import ROOT

from mobanet_mmseg.experiments import runs
from mobanet_mmseg.experiments.runs import CONFIG, LOG, RESULT, WORK, Run, run_all

DEMO = ROOT / 'configs' / 'mobanet' / 'demo.py'


def make(folder, seed=1, name='row', **overrides):
    config = Config(dict(model=dict(width=8), default_hooks=dict(b=dict(x=1), a=dict(y=1))))
    config.merge_from_dict(overrides)
    return Run.of(name, config, seed, folder)


def test_the_text_of_a_run_is_its_config_without_validation(tmp_path):
    config = Config.fromfile(DEMO)
    config.default_hooks.checkpoint.save_best = 'mIoU'
    config.work_dir = 'elsewhere'
    path = tmp_path / 'config.py'
    path.write_text(Run.of('demo', config, 7, tmp_path).text)
    read = Config.fromfile(path)
    assert read.randomness.seed == 7
    assert read.val_dataloader is read.val_cfg is read.val_evaluator is None
    assert read.default_hooks.checkpoint.save_best is None
    assert 'work_dir' not in read
    assert list(read.default_hooks) == list(config.default_hooks)
    assert read.model == config.model
    assert read.train_dataloader == config.train_dataloader
    assert config.randomness.seed == 42 and config.val_cfg is not None  # stays as it is


def stand_in(patch, does):
    """Let a function stand in for the process of a run; gives the titles of those begun."""
    begun = []

    def start(run, workers, repeats, threads=None):
        begun.append(run.title)
        return does(run)

    patch.setattr(runs, '_start', start)
    return begun


def succeed(run):
    (run.folder / RESULT).write_text('{"metrics": {"both": {"mIoU": 1}}}')
    return 0


def test_what_is_done_is_not_repeated_and_what_failed_is(tmp_path, monkeypatch):
    def one_fails(run):
        (run.folder / LOG).write_text('noise\nerror: The disk is full.\nnoise of the workers\n')
        return 1 if run.seed == 2 else succeed(run)

    planned = [make(tmp_path / str(seed), seed) for seed in (1, 2, 3)]
    begun = stand_in(monkeypatch, one_fails)
    first = list(run_all(planned, tmp_path, 0, 1))
    assert begun == ['row, seed 1', 'row, seed 2', 'row, seed 3']
    assert [bool(outcome.result) for outcome in first] == [True, False, True]
    assert first[1].failure == f'The disk is full ({tmp_path / "2" / LOG}).'
    begun = stand_in(monkeypatch, succeed)
    second = list(run_all(planned, tmp_path, 0, 1))
    assert begun == ['row, seed 2']
    assert [outcome.repeated for outcome in second] == [False, True, False]


def test_half_a_result_is_none(tmp_path, monkeypatch):
    run = make(tmp_path / 'run')
    run.prepare()
    (run.folder / RESULT).write_text('{"metrics": {"bo')
    begun = stand_in(monkeypatch, succeed)
    (outcome,) = run_all([run], tmp_path, 0, 1)
    assert begun and outcome.result == {'metrics': {'both': {'mIoU': 1}}}


def test_other_tests_of_a_done_run_are_asked_for_again(tmp_path):
    run = make(tmp_path / 'run')
    run.prepare()
    succeed(run)
    assert run.result() is not None
    both = Run(run.name, run.seed, run.folder, run.text, ('both', 'rgb'))
    assert both.result() is None


@pytest.mark.parametrize('begun', [RESULT, f'{WORK}/iter_4.pth'])
def test_another_config_takes_no_folder_of_a_run_that_has_begun(tmp_path, monkeypatch, begun):
    stand_in(monkeypatch, succeed)
    make(tmp_path / 'run').prepare()
    other = make(tmp_path / 'run', **{'model.width': 9})
    other.prepare()  # nothing had begun
    assert 'width' in (tmp_path / 'run' / CONFIG).read_text()
    (tmp_path / 'run' / begun).parent.mkdir(exist_ok=True)
    (tmp_path / 'run' / begun).write_text('')
    (outcome,) = run_all([make(tmp_path / 'run')], tmp_path, 0, 1)
    assert outcome.failure.startswith(f'{tmp_path / "run"} holds a run of another config: ')
    assert "'width': 9" in (tmp_path / 'run' / CONFIG).read_text()


def test_a_folder_is_of_one_run_and_of_one_process_at_a_time(tmp_path, monkeypatch):
    stand_in(monkeypatch, succeed)
    with pytest.raises(ValueError, match='Two runs would be written to .*same'):
        next(run_all([make(tmp_path / 'same', seed) for seed in (1, 2)], tmp_path, 0, 1))
    planned = [make(tmp_path / str(seed), seed) for seed in (1, 2)]
    going = run_all(planned, tmp_path, 0, 1)
    next(going)
    with pytest.raises(ValueError, match='is written by another process'):
        next(run_all(planned, tmp_path, 0, 1))


def test_a_process_that_is_killed_or_says_nothing_is_told(tmp_path, monkeypatch):
    def die(run):
        (run.folder / LOG).write_text('Epoch 1\n' if run.seed == 1 else '')
        return -9 if run.seed == 1 else 1

    stand_in(monkeypatch, die)
    planned = [make(tmp_path / str(seed), seed) for seed in (1, 2)]
    killed, silent = (outcome.failure for outcome in run_all(planned, tmp_path, 0, 1))
    assert killed == f'killed by signal 9 ({tmp_path / "1" / LOG}).'
    assert silent == f'it has printed nothing ({tmp_path / "2" / LOG}).'


def test_the_process_of_a_run_ends_with_the_one_that_has_started_it(tmp_path, monkeypatch):
    """Its end of the pipe is closed, as the system does for one that is killed."""
    from mobanet_mmseg.experiments import child

    reading, writing = os.pipe()
    ended = []

    class Ended(BaseException):
        pass

    def end(status):
        ended.append(status)
        raise Ended

    monkeypatch.setattr(child.sys, 'stdin', os.fdopen(reading))
    monkeypatch.setattr(child.os, '_exit', end)
    os.write(writing, b'ab')
    os.close(writing)
    with pytest.raises(Ended):
        child._end_with_parent()
    assert ended == [1]


def test_jobs_run_side_by_side_and_each_gets_its_part_of_the_cores(tmp_path, monkeypatch):
    meeting = threading.Barrier(2, timeout=20)
    given = []

    def start(run, workers, repeats, threads=None):
        given.append(threads)
        meeting.wait()  # which one after the other would never pass
        return succeed(run)

    monkeypatch.setattr(runs, '_start', start)
    monkeypatch.setattr(runs.os, 'cpu_count', lambda: 6)
    planned = [make(tmp_path / str(seed), seed) for seed in range(4)]
    outcomes = list(run_all(planned, tmp_path, 0, 1, jobs=2))
    assert {outcome.run.seed for outcome in outcomes} == {0, 1, 2, 3}
    assert all(outcome.repeated and outcome.result for outcome in outcomes)
    assert given == [3, 3, 3, 3]
    assert runs._limited(3)['OMP_NUM_THREADS'] == '3'


def test_who_stops_to_listen_to_jobs_begins_no_further_run(tmp_path, monkeypatch):
    begun = stand_in(monkeypatch, succeed)
    planned = [make(tmp_path / str(seed), seed) for seed in range(50)]
    going = run_all(planned, tmp_path, 0, 1, jobs=2)
    next(going)
    going.close()
    assert len(begun) < 50


def test_a_mistake_of_ours_in_a_job_is_raised(tmp_path, monkeypatch):
    def start(run, workers, repeats, threads=None):
        raise KeyError('ours')

    monkeypatch.setattr(runs, '_start', start)
    planned = [make(tmp_path / str(seed), seed) for seed in range(3)]
    with pytest.raises(KeyError, match='ours'):
        list(run_all(planned, tmp_path, 0, 1, jobs=2))


def test_a_run_that_was_done_with_another_config_is_not_kept(tmp_path):
    run = make(tmp_path / 'run')
    assert run.kept() is None
    run.prepare()
    succeed(run)
    assert run.kept() == run.result() is not None
    assert make(tmp_path / 'run', **{'model.width': 9}).kept() is None
