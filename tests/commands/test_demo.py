import runpy

import pytest
from scenes.paths import ROOT

DEMO = runpy.run_path(str(ROOT / 'demo' / 'run.py'))
LINE = (
    '11/26 04:46:23 - mmengine - INFO - Epoch(train) [1][ 80/400]  base_lr: 2.6e-03 lr: 2.6e-03  '
    'eta: 0:05:21  time: 1.2  data_time: 0.04  loss: 0.8431  decode.loss_ce: 0.8260'
)


def test_a_command_of_the_demo_shows_its_steps_alone(tmp_path, capfd):
    script = tmp_path / 'train.py'
    script.write_text(f'import os\nprint("much\\n{LINE}\\nmore", os.environ["OMP_NUM_THREADS"])')
    DEMO['run'](str(script), 'RGB alone', threads=3)
    shown = capfd.readouterr().out.splitlines()
    assert shown == [f'$ python {script}', '  RGB alone: step 80 of 400, loss 0.8431']


def test_a_command_of_the_demo_that_fails_shows_all_it_said(tmp_path, capfd):
    script = tmp_path / 'train.py'
    script.write_text('print("before")\nraise SystemExit("no such tile")')
    with pytest.raises(SystemExit, match=r'train\.py` failed: its output is above'):
        DEMO['run'](str(script))
    assert 'before\nno such tile' in capfd.readouterr().err


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
