"""What processes tell each other; threads stand in for them."""

import pytest
import torch

from mobanet_mmseg.inference import ranks
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
