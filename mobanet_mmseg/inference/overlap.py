"""Lets reading and writing run beside the network, each in a thread of its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar('Item')
_END = object()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Fetch the next item while the last one is worked on.

    Args:
        items: Run in another thread, always the same one; its errors come out here.

    Yields:
        The items.
    """
    with ThreadPoolExecutor(1, 'reading') as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item
            del item  # what is no longer needed is not kept while the next one is waited for


@contextmanager
def behind(function: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Run a function's calls in another thread, in their order, one at most waiting.

    Args:
        function: Called in always the same thread; its errors come out at a later call, or at the
            end of the block.

    Yields:
        What to call instead.
    """
    running: list[Future] = []

    def call(*args: Any) -> None:
        if running:
            running.pop().result()
        running.append(thread.submit(function, *args))

    with ThreadPoolExecutor(1, 'writing') as thread:
        yield call
        if running:
            running.pop().result()
