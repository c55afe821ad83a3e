import json
import re
import runpy
import sys
from collections import Counter
from pathlib import Path

import pytest
from scenes.commands import run
from scenes.paths import ROOT

from mobanet_cli.commands import find_tools
from mobanet_mmseg.configs import find_config

DEMO = runpy.run_path(str(ROOT / 'demo' / 'run.py'))
LINE = (
    '11/26 04:46:23 - mmengine - INFO - Epoch(train) [1][ 80/400]  base_lr: 2.6e-03 lr: 2.6e-03  '
    'eta: 0:05:21  time: 1.2  data_time: 0.04  loss: 0.8431  decode.loss_ce: 0.8260'
)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Lets a script stand for the command `mobanet`."""

    def stand(text: str) -> None:
        script = tmp_path / 'mobanet.py'
        script.write_text(text)
        monkeypatch.setitem(DEMO['run'].__globals__, 'MOBANET', (sys.executable, str(script)))

    return stand


def test_a_command_of_the_demo_shows_its_steps_alone(stand_in, tmp_path, capfd):
    stand_in(f'import os\nprint("much\\n{LINE}\\nmore", os.environ["OMP_NUM_THREADS"])')
    DEMO['run'](tmp_path, 'train x.py', 'RGB alone', threads=3)
    shown = capfd.readouterr().out.splitlines()
    assert shown == ['$ mobanet train x.py', '  RGB alone: step 80 of 400, loss 0.8431']


def test_a_command_of_the_demo_that_fails_shows_all_it_said(stand_in, tmp_path, capfd):
    stand_in('print("before")\nraise SystemExit("no such tile")')
    with pytest.raises(SystemExit, match=r'`mobanet train x\.py` failed: its output is above'):
        DEMO['run'](tmp_path, 'train x.py')
    assert 'before\nno such tile' in capfd.readouterr().err


RECORD = """
import json, pathlib, sys
name, words = sys.argv[1], sys.argv[2:]
with open('asked.jsonl', 'a') as file:
    file.write(json.dumps(sys.argv[1:]) + chr(10))
if name == 'test':
    result = pathlib.Path(words[words.index('--work-dir') + 1], '20261126', 'result.json')
    result.parent.mkdir(parents=True)
    value = 50 if '_rgb' in words[0] else 90
    keys = ('OA', 'mF1', 'mIoU', 'mIoU_all', 'IoU.car')
    result.write_text(json.dumps(dict.fromkeys(keys, value)))
"""


def test_the_demo_runs_commands_in_a_folder_that_it_makes(stand_in, tmp_path, monkeypatch, capfd):
    stand_in(RECORD)
    monkeypatch.setattr(sys, 'argv', ['mobanet demo', str(tmp_path / 'a b')])
    DEMO['main']()
    asked = [json.loads(line) for line in (tmp_path / 'a b' / 'asked.jsonl').open()]
    assert Counter(words[0] for words in asked) == Counter(
        {'make-synthetic-isprs': 1, 'train': 2, 'test': 2, 'predict': 1}
    )
    for words in asked:
        assert words[0] in find_tools()
        if words[0] != 'make-synthetic-isprs':
            assert find_config(words[1]).is_file()
    shown = capfd.readouterr().out
    assert f'{tmp_path}/a b/work_dirs/demo/prediction.tif' in shown
    assert 'brings 40.0 points' in shown
    for told, file in (
        ('Python, run in that folder', 'predict_from_python.py'),
        ('as a notebook', 'mobanet_demo.ipynb'),
    ):
        assert Path(re.search(f'{told}: (.*)', shown)[1]).samefile(ROOT / 'demo' / file)


def test_a_folder_that_the_demo_cannot_make_is_named(tmp_path, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setattr(sys, 'argv', ['mobanet demo', str(tmp_path / 'file' / 'x')])
    with pytest.raises(SystemExit, match='error: .*file'):
        DEMO['main']()


@pytest.mark.parametrize('python', [('-m', 'mobanet_cli', 'demo'), (ROOT / 'demo' / 'run.py',)])
def test_the_demo_says_what_it_does_before_it_does_it(python, tmp_path):
    shown = run(*python, '--help', cwd=tmp_path)
    assert 'usage:' in shown and '[folder]' in shown
    assert 'data/synthetic' in shown and 'minutes' in shown
    assert not any(tmp_path.iterdir())


def metrics(both=90.0, car=60.0, alone=50.0):
    """Both runs' metrics, each as a test's JSON holds them."""
    return {
        label: {'OA': 90.0, 'mF1': 90.0, 'mIoU': value, 'mIoU_all': value, 'IoU.car': car}
        for label, value in (('RGB + DSM', both), ('RGB alone', alone))
    }


def test_the_demo_s_metrics_are_a_table_and_what_the_dsm_brings(capfd):
    DEMO['show'](metrics())
    shown = capfd.readouterr().out
    assert 'RGB alone' in shown and '60.00' in shown
    assert 'brings 40.0 points of mIoU over 5 classes, 40.0 over 6.' in shown


@pytest.mark.parametrize('low', [dict(both=79.0), dict(car=39.0), dict(alone=75.0)])
def test_the_demo_fails_where_it_does_not_reach_what_it_should(low, capfd):
    with pytest.raises(SystemExit, match='should'):
        DEMO['show'](metrics(**low))
