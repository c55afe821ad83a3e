"""The command of prediction in several processes, started by torchrun."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scenes.commands import run_tool
from scenes.distributed import EVERY_MAP, files_of, hidden_in, inferencer_of, write_noise
from scenes.paths import ROOT
from scenes.processes import in_ranks

from mobanet_mmseg.inference import prediction_run

DRIVER = f"""
import os, runpy, signal, sys
sys.path.insert(0, {str(ROOT / 'tests')!r})
import mobanet_mmseg
from scenes import prediction as prediction_scene
if os.environ['RANK'] == '1':
    from mobanet_mmseg.inference import distributed
    distributed.write_maps = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.argv[0] = {str(ROOT / 'tools' / 'predict.py')!r}
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def launch(paths: dict, *options):
    """Run tools/predict.py in two processes, one of which is killed; give code and errors."""
    folder = paths['config'].parent
    (folder / 'driver.py').write_text(DRIVER)
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': str(ROOT),
    }
    command = (sys.executable, '-m', 'torch.distributed.run', '--standalone')
    command += ('--nproc_per_node=2', folder / 'driver.py')
    command += (paths['config'], paths['checkpoint'], '--launcher', 'pytorch', *options)
    command += ('--cfg-options', 'model.type=SmoothedChannel')
    with subprocess.Popen(
        [*map(str, command)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as launched:
        try:
            _, errors = launched.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(launched.pid, signal.SIGKILL)
            raise
    return launched.returncode, errors


@pytest.fixture
def in_threads(noise, threads, monkeypatch, capsys):
    """Run tools/predict.py in threads in the place of processes."""

    def predict(count, *options):
        tool = runpy.run_path(str(ROOT / 'tools' / 'predict.py'), run_name='predict')['main']
        many = threads(count)
        monkeypatch.setattr(prediction_run, 'get_world_size', lambda: count)
        monkeypatch.setattr(prediction_run, 'is_main_process', lambda: many.rank() == 0)
        monkeypatch.setenv('LOCAL_RANK', '0')
        argv = ['predict.py', noise['config'], noise['checkpoint'], *options, '--device', 'cpu']
        argv += ['--cfg-options', 'model.type=SmoothedChannel']
        monkeypatch.setattr(sys, 'argv', [*map(str, argv)])

        def code() -> int:
            try:
                tool()
            except SystemExit as end:
                return end.code
            return 0

        return many.run(code), *capsys.readouterr()

    return predict


@pytest.mark.parametrize(
    ('script', 'program', 'arguments', 'expected'),
    [
        (
            'dist_predict.sh',
            'torchrun',
            ('config.py', 'model.pth', '4'),
            '--nnodes=1 --node_rank=0 --master_addr=127.0.0.1 --master_port=29500 '
            '--nproc_per_node=4 {tool} config.py model.pth --launcher pytorch --rgb a b',
        ),
        (
            'slurm_predict.sh',
            'srun',
            ('gpus', 'city', 'config.py', 'model.pth'),
            '-p gpus --job-name=city --gres=gpu:4 --ntasks=4 --ntasks-per-node=4 '
            '--cpus-per-task=5 --kill-on-bad-exit=1 '
            'python -u {tool} config.py model.pth --launcher slurm --rgb a b',
        ),
    ],
)
def test_scripts_hand_on_their_arguments(tmp_path, script, program, arguments, expected):
    (tmp_path / program).write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / program).chmod(0o755)
    path = ROOT / 'tools' / script
    done = subprocess.run(
        ['bash', path, *arguments, '--rgb', 'a b'],
        env={'PATH': f'{tmp_path}:{os.environ["PATH"]}'},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == expected.format(tool=path.with_name('predict.py'))


@pytest.mark.slow
def test_two_processes_predict_one_raster_in_strips(noise, tmp_path, monkeypatch, capfd):
    options = ('--probabilities', '--confidence', '--cog', '--blend', 'gaussian')
    codes = in_ranks(
        2,
        lambda: run_tool(
            *(monkeypatch, 'predict.py', noise['config'], noise['checkpoint']),
            *('--rgb', noise['rgb'], '--aux', noise['aux'], '--out', tmp_path / 'many.tif'),
            *('--batch-size', '7', *options, '--launcher', 'pytorch', '--device', 'cpu'),
            *('--cfg-options', 'model.type=SmoothedChannel'),
        ),
    )
    out, errors = capfd.readouterr()
    assert codes == [0, 0], errors
    assert out.count('many.tif: 7,950 pixels') == 1
    assert out.count('1 to predict on cpu') == 1
    inferencer = inferencer_of(noise, batch_size=7, blend='gaussian')
    goal = tmp_path / 'one.tif'
    inferencer.predict_file(noise['rgb'], noise['aux'], goal, cog=True, **EVERY_MAP)
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


def test_processes_share_a_list_and_tell_of_a_damaged_raster_once(noise, tmp_path, in_threads):
    for kind in ('rgb', 'aux'):
        (tmp_path / f'{kind}s').mkdir()
    heights = {'a': 150, 'b': 37, 'c': 16, 'd': 300}
    for name, height in heights.items():
        write_noise(tmp_path / 'rgbs' / f'{name}.tif', tmp_path / 'auxs' / f'{name}.tif', height)
    damage(tmp_path / 'rgbs' / 'd.tif')
    folders = ('--rgb', tmp_path / 'rgbs', '--aux', tmp_path / 'auxs', '--out', tmp_path / 'many')
    codes, out, errors = in_threads(3, *folders, '--probabilities', '--confidence')
    assert codes == [1, 1, 1]
    assert errors.count('error: ') == 1
    assert errors.count('d.tif is damaged at') == 1
    assert out.count(' pixels\n') == 3
    assert out.count('4 to predict on cpu') == 1
    inferencer = inferencer_of(noise)
    for name in 'abc':
        pair = (tmp_path / kind / f'{name}.tif' for kind in ('rgbs', 'auxs'))
        inferencer.predict_file(*pair, tmp_path / 'one' / f'{name}.tif', **EVERY_MAP)
        assert files_of(tmp_path / 'many', name) == files_of(tmp_path / 'one', name)
    assert len(list((tmp_path / 'many').iterdir())) == 9


def damage(path: Path) -> None:
    """Overwrite the last blocks of a raster."""
    with path.open('r+b') as file:
        file.seek(-200, os.SEEK_END)
        file.write(b'\xff' * 200)


def test_damage_in_the_last_strips_ends_all_processes_with_one_sentence(
    noise, tmp_path, in_threads
):
    write_noise(noise['rgb'], noise['aux'], 400)
    damage(noise['rgb'])
    before = set(tmp_path.iterdir())
    files = ('--rgb', noise['rgb'], '--aux', noise['aux'], '--out', tmp_path / 'out.tif')
    codes, out, errors = in_threads(3, *files)
    assert codes == [1, 1, 1]
    assert errors.count('error: ') == 1
    assert errors.count('rgb.tif is damaged at') == 1
    assert 'Traceback' not in errors
    assert ' pixels\n' not in out
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_and_no_file_looks_finished(noise, tmp_path):
    start = time.monotonic()
    files = ('--rgb', noise['rgb'], '--aux', noise['aux'], '--out', tmp_path / 'out.tif')
    code, errors = launch(noise, *files)
    assert code == 1
    assert 'SIGKILL' in errors
    assert 'LostProcessError' not in errors  # the others end quietly
    assert not list(tmp_path.glob('out*'))
    assert time.monotonic() - start < 100
