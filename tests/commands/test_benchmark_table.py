"""The table of two toy networks and two seeds, killed and run again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from scenes.commands import run_tool
from scenes.experiments import stay_in_process, write_toys
from scenes.paths import ROOT

from mobanet_mmseg.experiments.runs import CONFIG, LOG, RESULT, WORK
from mobanet_mmseg.writing import read_text

TOOL = 'benchmark_table.py'
OPTIONS = ['--data', 'own', '--schedule', '12x2', '--seeds', 1, 2, '--workers', 0, '--repeats', 2]
FOLDERS = [f'{name}/seed_{seed}' for seed in (1, 2) for name in ('toy_both', 'toy_optical')]


def scores(folder):
    """The rows of the table's CSV without what depends on the clock."""
    with (folder / 'table.csv').open() as file:
        rows = list(csv.DictReader(file))
    timed = ('latency', 'seconds', 'test_')
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


@pytest.fixture(scope='module')
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toys')
    return folder, ['--config', *write_toys(folder)]


@pytest.fixture(scope='module')
def table(toys):
    """Folder of the table of all runs, none of which was disturbed."""
    folder, configs = toys
    with pytest.MonkeyPatch.context() as patch:
        begun = stay_in_process(patch)
        run_tool(patch, TOOL, *OPTIONS, *configs, '--work-dir', folder / 'whole')
    assert begun == FOLDERS
    return folder / 'whole'


def test_table_has_the_mean_and_the_spread_of_the_seeds(table):
    rows = scores(table)
    assert [row['key'] for row in rows] == ['toy_both', 'toy_optical']
    assert [row['input'] for row in rows] == ['optical + aux', 'optical']
    for row in rows:
        results = [
            json.loads((table / row['key'] / f'seed_{seed}' / RESULT).read_text())
            for seed in (1, 2)
        ]
        one, other = (result['metrics']['both']['mIoU'] for result in results)
        assert float(row['mIoU_mean']) == pytest.approx((one + other) / 2)
        assert float(row['mIoU_sd']) == pytest.approx(abs(one - other) / 2**0.5)
        assert row['n'] == '2' and row['peak_memory_mib_mean'] == ''
        for result in results:
            assert sum(map(sum, result['tiles']['both']['top_potsdam_2_13_RGB'])) <= 37 * 53
            assert list(result['tiles']['both']) == ['top_potsdam_2_13_RGB', 'top_potsdam_2_14_RGB']
            assert result['training']['iterations_timed'] == result['training']['iterations'] == 12
            assert result['cost']['trainable'] == float(row['trainable_mean'])
            assert result['excluded_classes'] == ['clutter']


def test_report_says_what_it_is_of(table):
    text = read_text(table / 'table.md')
    title = text.splitlines()[0]
    assert title == (
        "# A demonstration, not the paper's schedule: rasters of our own, 12 iterations of 2 "
        'windows, seeds 1 2, CPU, pretrained where a config names weights'
    )
    assert 'rasters of our own, 2 training and 2 test tiles' in text
    assert 'not measured' in text  # the memory
    assert "paper's" not in text.removeprefix(title)
    assert (table / 'table.png').read_bytes().startswith(b'\x89PNG')
    numbers = json.loads((table / 'table.json').read_text())
    assert [len(row['runs']) for row in numbers['rows']] == [2, 2]


def copy_run(run, place):
    place.mkdir(parents=True)
    for file in (CONFIG, RESULT):
        (place / file).write_bytes((run / file).read_bytes())


def children_of(pid):
    return [int(child) for child in read_text(f'/proc/{pid}/task/{pid}/children').split()]


def is_alive(pid):
    try:
        return ') Z ' not in read_text(f'/proc/{pid}/stat')
    except OSError:
        return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'waited in vain'
        time.sleep(0.02)


@pytest.mark.slow
def test_killed_in_the_middle_it_goes_on_and_ends_with_the_same_table(
    table, toys, monkeypatch, capsys
):
    folder, configs = toys
    place = folder / 'killed'
    for name in FOLDERS[2:]:  # are done
        copy_run(table / name, place / name)
    command = [*OPTIONS, *configs, '--work-dir', place]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, *map(str, [ROOT / 'tools' / TOOL, *command])], env=environment
    )
    first = place / FOLDERS[0]
    wait_for(lambda: any((first / WORK).glob('iter_*.pth')))
    (child,) = children_of(parent.pid)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_alive(child), 10)
    assert not (first / RESULT).exists()
    log = (first / LOG).read_text()
    assert 'Resuming from' not in log

    begun = stay_in_process(monkeypatch)
    run_tool(monkeypatch, TOOL, *command)
    assert begun == FOLDERS[:2]
    training = json.loads((first / RESULT).read_text())['training']
    assert training['iterations_timed'] < training['iterations'] == 12
    assert scores(place) == scores(table)

    begun.clear()
    capsys.readouterr()
    run_tool(monkeypatch, TOOL, *command)
    assert not begun
    assert capsys.readouterr().out.count('done before') == 4
    assert scores(place) == scores(table)


def test_a_run_that_fails_is_told_and_the_others_go_on(table, toys, monkeypatch, capsys):
    folder, configs = toys
    place = folder / 'failing'
    run_folder = place / FOLDERS[1]
    run_folder.mkdir(parents=True)
    (run_folder / CONFIG).write_text('model = dict()\n')
    (run_folder / RESULT).write_text('{}')
    for name in (FOLDERS[0], *FOLDERS[2:]):
        copy_run(table / name, place / name)
    begun = stay_in_process(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        run_tool(monkeypatch, TOOL, *OPTIONS, *configs, '--work-dir', place)
    assert ended.value.code == 1 and not begun
    assert f'toy_optical, seed 1: FAILED: {run_folder} holds a run of' in capsys.readouterr().out
    row = scores(place)[1]
    assert (row['n'], row['state']) == ('1', '1 failed')
    assert '- toy_optical, seed 1, failed: ' in read_text(place / 'table.md')


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (['--schedule', 'long'], "error: The schedule is 'long': give 'paper', or"),
        (['--networks', 'resnet'], 'error: There is no row resnet: choose of unet, segnet,'),
        (['--config', 'nowhere.py'], r'error: There is no config nowhere\.py'),
        (['--window', 0], 'error: --window and --repeats are at least 1'),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, monkeypatch, options, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=f'^{sentence}'):
        run_tool(monkeypatch, TOOL, '--data', 'potsdam', *options)
    assert not any(tmp_path.iterdir())


def test_rows_that_cannot_run_are_in_the_table_with_their_reason(tmp_path, monkeypatch, capsys):
    run_tool(
        monkeypatch, TOOL, '--data', 'vaihingen', '--networks', 'tmfnet', '--work-dir', tmp_path
    )
    assert 'tmfnet is not run: neither its code nor' in capsys.readouterr().out
    text = read_text(tmp_path / 'table.md')
    assert '- TMFNet: neither its code nor a full description is public.' in text
    assert '| 89.71 | 88.25 | 78.70 |' in text  # the paper's
    assert text.startswith('# Tables I-III of MoBaNet (arXiv:2603.17705), rerun: ISPRS Vaihingen')
