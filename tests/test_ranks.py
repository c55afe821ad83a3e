"""Several processes: threads stand in for them, but for a few launches by torchrun."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from conftest import ROOT
from prediction_scene import ROTATED, UTM, write_scene

from mobanet_mmseg.inference import ranks, together
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.ranks import (
    LAUNCHERS,
    LostRankError,
    OtherRankError,
    agreed,
    failing_together,
    gathered,
    own_device,
    share_items,
    start_ranks,
)

MAPS = ('{}.tif', '{}_probabilities.tif', '{}_confidence.tif')
SMOOTHED = {'model.type': 'SmoothedChannel'}
EVERY_MAP = {'probabilities': True, 'confidence': True}


class Threads:
    """As many threads, each with a rank, and the collective calls that they make."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self.own = threading.local()
        self.barrier = threading.Barrier(world_size, timeout=20)
        self.slots = [None] * world_size

    def rank(self) -> int:
        return self.own.rank

    def all_gather_object(self, every: list, value: object) -> None:
        self._exchange('gather', value)
        every[:] = [value for _, value in self.slots]
        self.barrier.wait()

    def broadcast_object_list(self, values: list) -> None:
        self._exchange('broadcast', values[0])
        values[0] = self.slots[0][1]
        self.barrier.wait()

    def _exchange(self, kind: str, value: object) -> None:
        self.slots[self.rank()] = kind, value
        self.barrier.wait()
        assert {each for each, _ in self.slots} == {kind}  # one call, the same in all

    def run(self, function) -> list:
        """What the function gives, or raises, in each thread."""

        def call(rank: int):
            self.own.rank = rank
            try:
                return function()
            except Exception as error:
                return error

        with ThreadPoolExecutor(self.world_size) as pool:
            return list(pool.map(call, range(self.world_size)))


@pytest.fixture
def threads(monkeypatch):
    """Start threads in the place of processes."""

    def start(world_size: int) -> Threads:
        made = Threads(world_size)
        for module in (ranks, together):
            monkeypatch.setattr(module, 'get_rank', made.rank)
            monkeypatch.setattr(module, 'get_world_size', lambda: world_size)
        for name in ('all_gather_object', 'broadcast_object_list'):
            monkeypatch.setattr(ranks.distributed, name, getattr(made, name))
        return made

    return start


@pytest.fixture
def noise(tmp_path):
    """A scene of random pixels, 150 x 53, whose logits depend on the window they are seen in."""
    paths = write_scene(tmp_path)
    write_noise(paths['rgb'], paths['aux'], 150)
    return paths


def write_noise(rgb: Path, aux: Path, height: int) -> None:
    generator = np.random.default_rng(height)
    size = (height, 53)
    place = {'height': height, 'width': 53, 'crs': UTM, 'transform': ROTATED, 'nodata': 0}
    layout = {'driver': 'GTiff', 'compress': 'deflate', 'blockysize': 16, **place}
    pixels = generator.integers(1, 256, (3, *size), np.uint8)
    pixels[:, height // 3 : height // 2, :30] = 0
    with rasterio.open(rgb, 'w', count=3, dtype='uint8', **layout) as image:
        image.write(pixels)
    with rasterio.open(aux, 'w', count=1, dtype='float32', **layout) as image:
        image.write(generator.uniform(10, 30, (1, *size)).astype(np.float32))


def inferencer_of(paths: dict, **settings) -> MultimodalInferencer:
    settings = {'device': 'cpu', 'cfg_options': SMOOTHED, **settings}
    return MultimodalInferencer(paths['config'], paths['checkpoint'], **settings)


def files_of(folder: Path, name: str) -> list[bytes]:
    return [(folder / pattern.format(name)).read_bytes() for pattern in MAPS]


def hidden_in(folder: Path) -> list[Path]:
    return list(folder.glob('.*'))


def test_items_are_shared_if_there_is_one_for_each(threads):
    three = threads(3)
    assert three.run(lambda: share_items('abcd')) == [('ad', True), ('b', True), ('c', True)]
    assert three.run(lambda: share_items('abc')) == [('a', True), ('b', True), ('c', True)]
    assert three.run(lambda: share_items('ab')) == [('ab', False)] * 3
    assert three.run(lambda: share_items('')) == [('', False)] * 3


def test_one_process_alone_shares_nothing():
    assert share_items('ab') == ('ab', True)
    assert agreed(5) == 5
    assert gathered([1, 2]) == [1, 2]
    with pytest.raises(KeyError), failing_together():
        raise KeyError


def test_the_first_process_decides_and_all_values_come_together(threads):
    three = threads(3)
    assert three.run(lambda: agreed(three.rank() + 5)) == [5, 5, 5]
    assert three.run(lambda: gathered([three.rank()] * three.rank())) == [[1, 2, 2]] * 3


def test_a_failure_ends_the_block_in_all_processes_and_is_told_by_one(threads):
    three = threads(3)

    def fail() -> None:
        with failing_together():
            if three.rank():
                raise ValueError(f'{three.rank()} broke')

    first, second, third = three.run(fail)
    assert isinstance(second, ValueError)
    assert str(second) == '1 broke'
    assert isinstance(first, OtherRankError)
    assert isinstance(third, OtherRankError)
    assert str(first) == str(third) == 'process 1 has failed: 1 broke'
    assert str(third.__cause__) == '2 broke'


def test_a_process_that_has_gone_is_a_sentence(threads, monkeypatch):
    def closed(*_):
        raise RuntimeError('connection closed')

    two = threads(2)
    for name in ('all_gather_object', 'broadcast_object_list'):
        monkeypatch.setattr(ranks.distributed, name, closed)
    for call in (lambda: gathered([]), lambda: agreed(1)):
        for error in two.run(call):
            assert isinstance(error, LostRankError)
            assert 'Another process has ended (connection closed)' in str(error)


def test_a_block_that_succeeds_everywhere_goes_on(threads):
    def succeed() -> str:
        with failing_together():
            pass
        return 'on'

    assert threads(2).run(succeed) == ['on', 'on']


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_a_launcher_that_has_started_nothing_is_one_sentence(monkeypatch, launcher):
    for name in LAUNCHERS[launcher]:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=f'--launcher {launcher} finds no .*torchrun'):
        start_ranks(launcher)


def test_slurm_without_gpus_is_one_sentence(monkeypatch):
    for name in LAUNCHERS['slurm']:
        monkeypatch.setenv(name, '1')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(ValueError, match='torch sees none: start torchrun'):
        start_ranks('slurm')


def test_torchrun_without_its_launcher_is_one_sentence(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '3')
    start_ranks('none')  # a cluster may set this
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'none')
    with pytest.raises(ValueError, match='started 3 processes.*give --launcher pytorch'):
        start_ranks('none')


def test_slurm_is_mmengines_and_waits_for_days(monkeypatch):
    for name in LAUNCHERS['slurm']:
        monkeypatch.setenv(name, '1')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    calls = []
    monkeypatch.setattr(ranks, 'init_dist', lambda *args, **kwargs: calls.append((args, kwargs)))
    start_ranks('slurm')
    assert calls == [(('slurm',), {'backend': 'gloo', 'timeout': 7 * 24 * 3600.0})]


def test_torchrun_gives_each_process_a_gpu_of_its_own(monkeypatch):
    for name in LAUNCHERS['pytorch']:
        monkeypatch.setenv(name, '1')
    monkeypatch.setenv('LOCAL_RANK', '3')
    chosen = []
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'set_device', chosen.append)
    monkeypatch.setattr(torch.cuda, 'current_device', lambda: chosen[-1])
    monkeypatch.setattr(ranks.distributed, 'init_process_group', lambda *_, **__: None)
    start_ranks('pytorch')
    assert own_device('auto') == 'cuda:1'  # the fourth process of two GPUs
    assert own_device('cpu') == 'cpu'


@pytest.mark.parametrize(
    ('world_size', 'settings'),
    [
        (2, {}),
        (3, {'batch_size': 7}),  # rows of 4 windows: a batch leaves some over
        (3, {'batch_size': 9, 'blend': 'gaussian', 'stride': (3, 5)}),
        (5, {'blend': 'cosine', 'stride': (16, 24), 'tta': 'flips'}),
    ],
)
def test_several_processes_write_the_bytes_of_one(noise, tmp_path, threads, world_size, settings):
    inferencer = inferencer_of(noise, **settings)
    goals = {name: tmp_path / f'{name}.tif' for name in ('one', 'many')}
    pair = noise['rgb'], noise['aux']
    counts = inferencer.predict_file(*pair, goals['one'], cog=True, **EVERY_MAP)
    many = threads(world_size)
    results = many.run(lambda: inferencer.predict_file(*pair, goals['many'], cog=True, **EVERY_MAP))
    np.testing.assert_array_equal(results[0], counts)
    assert sum(share.sum() for share in results[1:]) < 150 * 53
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


def test_some_processes_may_have_no_strip(scene, tmp_path, threads):
    inferencer = inferencer_of(scene, batch_size=8)  # 37 rows: 2 strips
    pair = scene['rgb'], scene['aux']
    inferencer.predict_file(*pair, tmp_path / 'one.tif', **EVERY_MAP)
    results = threads(4).run(
        lambda: inferencer.predict_file(*pair, tmp_path / 'many.tif', **EVERY_MAP)
    )
    assert [result.sum() > 0 for result in results] == [True, True, False, True]
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


def test_a_batch_size_tried_by_each_is_the_first_ones(noise, tmp_path, threads):
    inferencers = [inferencer_of(noise, batch_size=size) for size in (4, 13)]
    pair = noise['rgb'], noise['aux']
    inferencers[0].predict_file(*pair, tmp_path / 'one.tif', **EVERY_MAP)
    two = threads(2)
    two.run(lambda: inferencers[two.rank()].predict_file(*pair, tmp_path / 'many.tif', **EVERY_MAP))
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')


def test_the_range_of_the_auxiliary_raster_is_found_by_one(noise, tmp_path, threads, monkeypatch):
    from mobanet_mmseg.inference import reading

    found = []
    aux_ranges = reading.aux_ranges

    def note(paths, bands, aux_range, **options):
        found.append(aux_range)
        return aux_ranges(paths, bands, aux_range, **options)

    monkeypatch.setattr(reading, 'aux_ranges', note)
    inferencer = inferencer_of(noise)
    goal = tmp_path / 'many.tif'
    threads(3).run(lambda: inferencer.predict_file(noise['rgb'], noise['aux'], goal))
    with rasterio.open(noise['aux']) as aux:
        heights = aux.read(1)
    assert found == ['tile', *[((heights.min(),), (heights.max(),))] * 2]


@pytest.mark.parametrize('failing', [0, 1, 2])
@pytest.mark.parametrize('what', ['open', 'predict', 'write'])
def test_a_process_that_fails_ends_all_and_leaves_nothing(
    noise, tmp_path, threads, monkeypatch, failing, what
):
    inferencer = inferencer_of(noise)
    three = threads(3)
    before = sorted(tmp_path.iterdir())

    def fail_in(module: object, name: str) -> None:
        function = getattr(module, name)

        def failing_function(*args, **kwargs):
            if three.rank() == failing:
                raise OSError('no space')
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, failing_function)

    fail_in(
        *{
            'open': (inferencer, 'open_pair'),
            'predict': (together, 'predict_rows'),
            'write': (together, 'write_rows'),
        }[what]
    )
    results = three.run(
        lambda: inferencer.predict_file(
            noise['rgb'], noise['aux'], tmp_path / 'out.tif', **EVERY_MAP
        )
    )
    assert [type(result) for result in results].count(OSError) == 1
    assert isinstance(results[failing], OSError)
    assert [type(result) for result in results].count(OtherRankError) == 2
    assert sorted(tmp_path.iterdir()) == before


def test_joining_that_fails_ends_all_and_leaves_what_was_there(
    noise, tmp_path, threads, monkeypatch
):
    inferencer = inferencer_of(noise)
    (tmp_path / 'out.tif').write_bytes(b'older')
    before = sorted(tmp_path.iterdir())

    def fail(*_):
        raise OSError('no space')

    monkeypatch.setattr(together, '_read', fail)
    results = threads(3).run(
        lambda: inferencer.predict_file(noise['rgb'], noise['aux'], tmp_path / 'out.tif')
    )
    assert [type(result) for result in results] == [OSError, OtherRankError, OtherRankError]
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / 'out.tif').read_bytes() == b'older'


def test_a_disk_that_is_not_shared_is_found_before_the_work(noise, tmp_path, threads, monkeypatch):
    inferencer = inferencer_of(noise)
    three = threads(3)
    touch = together.touch
    elsewhere = tmp_path / 'elsewhere'
    monkeypatch.setattr(
        together,
        'touch',
        lambda path: touch(path if three.rank() != 2 else elsewhere / path.name),
    )
    monkeypatch.setattr(together, 'predict_rows', None)
    results = three.run(
        lambda: inferencer.predict_file(noise['rgb'], noise['aux'], tmp_path / 'out.tif')
    )
    assert 'made by process 2, but process 0 does not see it' in str(results[0])
    assert [type(result) for result in results] == [ValueError, OtherRankError, OtherRankError]
    assert not hidden_in(tmp_path)


@pytest.mark.parametrize('out', ['.', 'config.py/out.tif', 'rgb.tif'])
def test_a_goal_that_cannot_be_written_is_found_before_the_work(
    noise, tmp_path, threads, monkeypatch, out
):
    inferencer = inferencer_of(noise)
    monkeypatch.setattr(together, 'predict_rows', None)
    goal = tmp_path / out if out != '.' else tmp_path / 'folder.tif'
    if out == '.':
        goal.mkdir()
    results = threads(2).run(lambda: inferencer.predict_file(noise['rgb'], noise['aux'], goal))
    assert isinstance(results[0], ValueError if out == 'rgb.tif' else OSError)
    assert isinstance(results[1], OtherRankError)
    assert not hidden_in(tmp_path)


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


# What follows is started by torchrun.

DRIVER = f"""
import os, runpy, signal, sys
sys.path.insert(0, {str(ROOT / 'tests')!r})
import mobanet_mmseg
import prediction_scene
if os.environ['RANK'] == os.environ.get('KILLED_RANK'):
    from mobanet_mmseg.inference import together
    together.write_rows = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
sys.argv[0] = {str(ROOT / 'tools' / 'predict.py')!r}
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def launch(paths: dict, *options, processes: int = 3, **variables: str):
    """Run tools/predict.py in some processes; give its exit code, output and errors."""
    folder = paths['config'].parent
    (folder / 'driver.py').write_text(DRIVER)
    environment = {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': str(ROOT),
        **variables,
    }
    command = (sys.executable, '-m', 'torch.distributed.run', '--standalone')
    command += (f'--nproc_per_node={processes}', folder / 'driver.py')
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
            out, errors = launched.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(launched.pid, signal.SIGKILL)
            raise
    return launched.returncode, out, errors


@pytest.mark.slow
def test_torchrun_predicts_one_raster_in_strips(noise, tmp_path):
    options = ('--probabilities', '--confidence', '--cog', '--blend', 'gaussian')
    code, out, errors = launch(
        *(noise, '--rgb', noise['rgb'], '--aux', noise['aux'], '--out', tmp_path / 'many.tif'),
        *('--batch-size', '7', *options),
    )
    assert code == 0, errors
    assert out.count('many.tif: 7,950 pixels') == 1
    assert out.count('1 to predict on cpu') == 1
    inferencer = inferencer_of(noise, batch_size=7, blend='gaussian')
    goal = tmp_path / 'one.tif'
    inferencer.predict_file(noise['rgb'], noise['aux'], goal, cog=True, **EVERY_MAP)
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


@pytest.mark.slow
def test_torchrun_shares_a_list_and_tells_of_a_damaged_raster_once(noise, tmp_path):
    for kind in ('rgb', 'aux', 'one'):
        (tmp_path / f'{kind}s').mkdir()
    heights = {'a': 150, 'b': 37, 'c': 16, 'd': 300}
    for name, height in heights.items():
        write_noise(tmp_path / 'rgbs' / f'{name}.tif', tmp_path / 'auxs' / f'{name}.tif', height)
    damage(tmp_path / 'rgbs' / 'd.tif')
    folders = (noise, '--rgb', tmp_path / 'rgbs', '--aux', tmp_path / 'auxs')
    folders += ('--probabilities', '--confidence', '--out', tmp_path / 'many')
    code, out, errors = launch(*folders)
    assert code == 1
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


@pytest.mark.slow
def test_damage_in_the_last_strips_ends_all_processes_with_one_sentence(noise, tmp_path):
    write_noise(noise['rgb'], noise['aux'], 400)
    damage(noise['rgb'])
    before = {*tmp_path.iterdir(), tmp_path / 'driver.py'}
    code, out, errors = launch(
        *(noise, '--rgb', noise['rgb'], '--aux', noise['aux'], '--out', tmp_path / 'out.tif'),
    )
    assert code == 1
    assert errors.count('error: ') == 1
    assert errors.count('rgb.tif is damaged at') == 1
    assert 'tools/predict.py", line' not in errors
    assert ' pixels\n' not in out
    assert set(tmp_path.iterdir()) == before


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_and_no_file_looks_finished(noise, tmp_path):
    start = time.monotonic()
    code, _, errors = launch(
        *(noise, '--rgb', noise['rgb'], '--aux', noise['aux'], '--out', tmp_path / 'out.tif'),
        KILLED_RANK='1',
    )
    assert code == 1
    assert 'SIGKILL' in errors
    assert 'LostRankError' not in errors  # the others end quietly
    assert not list(tmp_path.glob('out*'))
    assert time.monotonic() - start < 100
