"""Several processes share a list or one raster; threads stand in for them."""

import os
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from scenes.distributed import EVERY_MAP, files_of, hidden_in, inferencer_of, write_noise

from mobanet_mmseg.inference import distributed, predict, reading
from mobanet_mmseg.inference.distributed import (
    LostProcessError,
    OtherProcessError,
    agreed,
    failing_together,
    gathered,
    predict_file_shared,
    share_items,
    start_processes,
)
from mobanet_mmseg.launchers import LAUNCHERS

shared = predict_file_shared


def test_items_are_shared_if_there_is_one_for_each(threads):
    three = threads(3)
    assert three.run(lambda: share_items('abcd')) == [('ad', False), ('b', False), ('c', False)]
    assert three.run(lambda: share_items('abc')) == [('a', False), ('b', False), ('c', False)]
    assert three.run(lambda: share_items('ab')) == [('ab', True)] * 3
    assert three.run(lambda: share_items('')) == [('', True)] * 3


def test_one_process_alone_shares_nothing():
    assert share_items('ab') == ('ab', False)
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
    assert isinstance(first, OtherProcessError)
    assert isinstance(third, OtherProcessError)
    assert str(first) == str(third) == 'process 1 has failed: 1 broke'
    assert str(third.__cause__) == '2 broke'


def test_a_process_that_has_gone_is_a_sentence(threads, monkeypatch):
    def closed(*_):
        raise RuntimeError('connection closed')

    two = threads(2)
    for name in ('all_gather_object', 'broadcast_object_list'):
        monkeypatch.setattr(distributed.distributed, name, closed)
    for call in (lambda: gathered([]), lambda: agreed(1)):
        for error in two.run(call):
            assert isinstance(error, LostProcessError)
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
        start_processes(launcher)


def test_slurm_without_gpus_is_one_sentence(monkeypatch):
    for name in LAUNCHERS['slurm']:
        monkeypatch.setenv(name, '1')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    with pytest.raises(ValueError, match='torch sees none: start torchrun'):
        start_processes('slurm')


def test_torchrun_without_its_launcher_is_one_sentence(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '3')
    start_processes('none')  # a cluster may set this
    monkeypatch.setenv('TORCHELASTIC_RUN_ID', 'none')
    with pytest.raises(ValueError, match='started 3 processes.*give --launcher pytorch'):
        start_processes('none')


def test_slurm_is_mmengines_and_waits_for_days(monkeypatch):
    for name in LAUNCHERS['slurm']:
        monkeypatch.setenv(name, '1')
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    calls = []
    monkeypatch.setattr(
        distributed, 'init_dist', lambda *args, **kwargs: calls.append((args, kwargs))
    )
    start_processes('slurm')
    assert calls == [(('slurm',), {'backend': 'gloo', 'timeout': 7 * 24 * 3600.0})]


def test_torchrun_gives_each_process_a_gpu_of_its_own(monkeypatch):
    for name in LAUNCHERS['pytorch']:
        monkeypatch.setenv(name, '1')
    monkeypatch.setenv('LOCAL_RANK', '3')
    chosen = []
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 2)
    monkeypatch.setattr(torch.cuda, 'set_device', chosen.append)
    monkeypatch.setattr(distributed.distributed, 'init_process_group', lambda *_, **__: None)
    start_processes('pytorch')
    assert chosen == [1]  # the fourth process of two GPUs


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
    results = many.run(lambda: shared(inferencer, *pair, goals['many'], cog=True, **EVERY_MAP))
    for result in results:
        np.testing.assert_array_equal(result, counts)
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


@pytest.mark.parametrize('cog', [False, True])
@pytest.mark.parametrize('batch_size', [4, 300])  # 57 windows in a row, 22 in a block
def test_wide_rasters_are_joined_in_the_order_of_their_column_blocks(
    noise, tmp_path, threads, monkeypatch, batch_size, cog
):
    monkeypatch.setattr(predict, 'BLOCK_BYTES', 0)
    monkeypatch.setattr(predict, 'BLOCK_WINDOWS', 1)
    write_noise(noise['rgb'], noise['aux'], 90, width=700)
    inferencer = inferencer_of(noise, batch_size=batch_size)
    with inferencer.open_pair(noise['rgb'], noise['aux']) as pair:
        assert len({strip.done.col for strip in inferencer.plan(pair)}) == 3
    goals = {name: tmp_path / f'{name}.tif' for name in ('one', 'many')}
    options = {'cog': cog, **EVERY_MAP}
    inferencer.predict_file(noise['rgb'], noise['aux'], goals['one'], **options)
    many = threads(3)
    many.run(lambda: shared(inferencer, noise['rgb'], noise['aux'], goals['many'], **options))
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


def test_some_processes_may_have_no_strip(scene, tmp_path, threads):
    inferencer = inferencer_of(scene, batch_size=8)  # 37 rows: 2 strips
    pair = scene['rgb'], scene['aux']
    inferencer.predict_file(*pair, tmp_path / 'one.tif', **EVERY_MAP)
    results = threads(4).run(lambda: shared(inferencer, *pair, tmp_path / 'many.tif', **EVERY_MAP))
    assert [result.sum() for result in results] == [37 * 53] * 4
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')
    assert not hidden_in(tmp_path)


def test_a_batch_size_tried_by_each_is_the_first_ones(noise, tmp_path, threads):
    inferencers = [inferencer_of(noise, batch_size=size) for size in (4, 13)]
    pair = noise['rgb'], noise['aux']
    inferencers[0].predict_file(*pair, tmp_path / 'one.tif', **EVERY_MAP)
    two = threads(2)
    two.run(lambda: shared(inferencers[two.rank()], *pair, tmp_path / 'many.tif', **EVERY_MAP))
    assert files_of(tmp_path, 'many') == files_of(tmp_path, 'one')


def test_the_range_of_the_auxiliary_raster_is_found_by_one(noise, tmp_path, threads, monkeypatch):
    found = []
    aux_ranges = reading.aux_ranges

    def note(paths, bands, aux_range, **options):
        found.append(aux_range)
        return aux_ranges(paths, bands, aux_range, **options)

    monkeypatch.setattr(reading, 'aux_ranges', note)
    inferencer = inferencer_of(noise)
    goal = tmp_path / 'many.tif'
    threads(3).run(lambda: shared(inferencer, noise['rgb'], noise['aux'], goal))
    with rasterio.open(noise['aux']) as aux:
        heights = aux.read(1)
    first, *others = found
    assert first.kind == 'tile'
    assert [each.scaling for each in others] == [((heights.min(),), (heights.max(),), False)] * 2


def test_a_raster_that_changes_before_another_process_opens_it_is_not_mixed(
    noise, tmp_path, threads, monkeypatch
):
    inferencer = inferencer_of(noise)
    two = threads(2)
    before = sorted(tmp_path.iterdir())
    open_pair = inferencer.open_pair

    def open_later(*args):
        if two.rank() == 1:
            os.utime(noise['rgb'], ns=(0, 1))
        return open_pair(*args)

    monkeypatch.setattr(inferencer, 'open_pair', open_later)
    results = two.run(
        lambda: shared(inferencer, noise['rgb'], noise['aux'], tmp_path / 'out.tif', **EVERY_MAP)
    )
    assert isinstance(results[0], OtherProcessError)
    assert 'rgb.tif has changed while it was read' in str(results[1])
    assert sorted(tmp_path.iterdir()) == before


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
            'predict': (predict, 'slide'),
            'write': (distributed, 'write_maps'),
        }[what]
    )
    results = three.run(
        lambda: shared(inferencer, noise['rgb'], noise['aux'], tmp_path / 'out.tif', **EVERY_MAP)
    )
    assert [type(result) for result in results].count(OSError) == 1
    assert isinstance(results[failing], OSError)
    assert [type(result) for result in results].count(OtherProcessError) == 2
    assert sorted(tmp_path.iterdir()) == before


def test_joining_that_fails_ends_all_and_leaves_what_was_there(
    noise, tmp_path, threads, monkeypatch
):
    inferencer = inferencer_of(noise)
    (tmp_path / 'out.tif').write_bytes(b'older')
    before = sorted(tmp_path.iterdir())

    def fail(*_):
        raise OSError('no space')

    monkeypatch.setattr(distributed, '_read', fail)
    results = threads(3).run(
        lambda: shared(inferencer, noise['rgb'], noise['aux'], tmp_path / 'out.tif')
    )
    assert [type(result) for result in results] == [OSError, OtherProcessError, OtherProcessError]
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / 'out.tif').read_bytes() == b'older'


def test_a_disk_that_is_not_shared_is_found_before_the_work(noise, tmp_path, threads, monkeypatch):
    inferencer = inferencer_of(noise)
    three = threads(3)
    monkeypatch.setattr(predict, 'slide', None)
    part = distributed._part

    def elsewhere(paths, rank):
        if three.rank() != 2:
            return part(paths, rank)
        folder = tmp_path / 'elsewhere'
        folder.mkdir(exist_ok=True)
        return part(replace(paths, labels=folder / paths.labels.name), rank)

    monkeypatch.setattr(distributed, '_part', elsewhere)
    results = three.run(
        lambda: shared(inferencer, noise['rgb'], noise['aux'], tmp_path / 'out.tif')
    )
    assert 'made by process 2, but process 0 does not see it' in str(results[0])
    assert [type(result) for result in results] == [
        ValueError,
        OtherProcessError,
        OtherProcessError,
    ]
    assert not hidden_in(tmp_path)


@pytest.mark.parametrize('out', ['.', 'config.py/out.tif', 'rgb.tif'])
def test_a_goal_that_cannot_be_written_is_found_before_the_work(
    noise, tmp_path, threads, monkeypatch, out
):
    inferencer = inferencer_of(noise)
    monkeypatch.setattr(predict, 'slide', None)
    goal = tmp_path / out if out != '.' else tmp_path / 'folder.tif'
    if out == '.':
        goal.mkdir()
    results = threads(2).run(lambda: shared(inferencer, noise['rgb'], noise['aux'], goal))
    assert isinstance(results[0], ValueError if out == 'rgb.tif' else OSError)
    assert isinstance(results[1], OtherProcessError)
    assert not hidden_in(tmp_path)
