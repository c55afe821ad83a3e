import threading
import time

import pytest

from mobanet_mmseg.inference.overlap import ahead, behind


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith('reading')]


def writers():
    return [thread for thread in threading.enumerate() if thread.name.startswith('writing')]


@pytest.mark.parametrize('count', [0, 1, 2, 7])
def test_items_come_in_order_and_none_is_lost(count):
    assert list(ahead(iter(range(count)))) == list(range(count))
    assert not readers()


def test_items_that_are_none_or_false_are_items():
    assert list(ahead(iter([None, 0, False, None]))) == [None, 0, False, None]


def test_the_next_item_is_fetched_while_the_last_one_is_worked_on():
    fetched = [threading.Event() for _ in range(3)]

    def items():
        for event in fetched:
            event.set()
            yield event

    coming = ahead(items())
    next(coming)
    assert fetched[1].wait(5)
    assert not fetched[2].is_set()  # one ahead and no more: memory is bounded
    coming.close()


def test_all_items_are_fetched_in_one_other_thread():
    names = list(ahead(threading.current_thread().name for _ in range(4)))
    assert len(set(names)) == 1
    assert names[0].startswith('reading')


def test_an_error_while_fetching_comes_out_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise ValueError('b.tif is damaged')

    found = []
    with pytest.raises(ValueError, match='damaged'):
        found.extend(ahead(items()))
    assert found == [1, 2]
    assert not readers()


def test_fetching_stops_when_the_consumer_stops():
    count = 0

    def items():
        nonlocal count
        while True:
            count += 1
            yield count

    coming = ahead(items())
    assert next(coming) == 1
    coming.close()
    stopped_at = count
    assert stopped_at <= 2
    assert not readers()
    time.sleep(0.05)
    assert count == stopped_at


def test_calls_run_in_order_in_one_other_thread_and_none_is_lost():
    calls = []
    with behind(lambda *args: calls.append((threading.current_thread().name, args))) as write:
        for number in range(9):
            write(number, -number)
    assert [args for _, args in calls] == [(number, -number) for number in range(9)]
    assert len({name for name, _ in calls}) == 1
    assert calls[0][0].startswith('writing')
    assert not writers()


def test_one_call_at_most_runs_behind():
    going, done = threading.Event(), []

    def slow(number):
        going.wait(5)
        done.append(number)

    with behind(slow) as write:
        write(1)  # returns at once
        assert done == []
        threading.Timer(0.05, going.set).start()
        write(2)  # waits for the first
        assert done[0] == 1
    assert done == [1, 2]


def test_an_error_comes_out_at_the_next_call_and_no_call_runs_after_it():
    calls = []

    def fail(number):
        calls.append(number)
        raise OSError('the disk is full')

    with pytest.raises(OSError, match='full'), behind(fail) as write:
        write(1)
        write(2)
    assert calls == [1]


def test_an_error_of_the_last_call_comes_out_at_the_end():
    with pytest.raises(ZeroDivisionError), behind(lambda number: 1 / number) as write:
        write(1)
        write(0)


def test_an_error_of_the_block_comes_out_once_the_running_call_has_ended():
    going, ended = threading.Event(), []

    def slow():
        going.wait(5)
        ended.append(True)

    def block():
        with behind(slow) as write:
            write()
            threading.Timer(0.05, going.set).start()
            raise KeyError('of the block')

    with pytest.raises(KeyError, match='of the block'):
        block()
    assert ended == [True]
    assert not writers()
