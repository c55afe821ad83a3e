import pytest
import torch

from mobanet_mmseg.experiments.timing import Times, measured_peak, time_in_turns, time_once

CPU = torch.device('cpu')


def test_the_middle_of_the_runs_counts():
    times = Times((5.0, 1.0, 2.0, 3.0, 9.0))
    assert times.median == 3.0
    assert times.spread == 3.0  # of 1 2 3 5 9 the middle half is 2 to 5
    assert Times((2.0,)).spread == 0.0


def test_a_ratio_is_that_of_the_same_round():
    own, other = Times((2.0, 20.0, 6.0)), Times((1.0, 10.0, 2.0))
    assert own.ratio_to(other) == 2.0
    assert own.median / other.median == 3.0  # of two rounds


def test_functions_take_turns_there_and_back():
    run = []
    functions = {name: lambda name=name: run.append(name) for name in 'abc'}
    times = time_in_turns(functions, range(3), CPU)
    assert ''.join(run) == 'abccbaabc'
    assert [len(times[name].seconds) for name in 'abc'] == [3, 3, 3]


def test_a_run_is_timed_by_the_clock(monkeypatch):
    clock = iter([10.0, 12.5])
    monkeypatch.setattr('time.perf_counter', lambda: next(clock))
    assert time_once(lambda: None, CPU) == 2.5


def test_the_memory_of_the_host_is_not_measured():
    assert measured_peak(lambda: pytest.fail('was run'), CPU, 0) is None
