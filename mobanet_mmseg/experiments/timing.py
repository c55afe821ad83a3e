"""Times functions against one another, in turns."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Function = Callable[[], Any]


@dataclass(frozen=True)
class Times:
    """Seconds of the runs of a function.

    Args:
        seconds: One a round.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of them."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Between which two the middle half lies, as the difference; 0 of a single run."""
        if len(self.seconds) < 2:
            return 0.0
        lower, _, upper = statistics.quantiles(self.seconds, n=4, method='inclusive')
        return upper - lower

    def ratio_to(self, other: 'Times') -> float:
        """Compare with what ran in the same rounds: the median of the rounds' ratios.

        Args:
            other: As many runs.
        """
        pairs = zip(self.seconds, other.seconds, strict=True)
        return statistics.median(own / others for own, others in pairs)


def time_in_turns(
    functions: Mapping[str, Function], rounds: Iterable[int], device: torch.device
) -> dict[str, Times]:
    """Time functions, each once a round.

    Every other round goes backwards: where a machine slows down meanwhile it does so for all.

    Args:
        functions: By name; each has run before, so that it has its memory and its algorithms.
        rounds: Numbers of the rounds.
        device: Where they run.

    Returns:
        Times by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for number in rounds:
        for name in list(functions)[:: -1 if number % 2 else 1]:
            seconds[name].append(time_once(functions[name], device))
    return {name: Times(tuple(runs)) for name, runs in seconds.items()}


def time_once(function: Function, device: torch.device) -> float:
    """Run a function; gives its seconds, on a GPU those between two of its events.

    Args:
        function: What runs.
        device: Where.
    """
    if device.type != 'cuda':
        start = time.perf_counter()
        function()
        return time.perf_counter() - start
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begun.record()
    function()
    ended.record()
    torch.cuda.synchronize(device)
    return begun.elapsed_time(ended) / 1000


def measured_peak(function: Function, device: torch.device, own: int) -> int | None:
    """Measure the most that torch has allocated on a GPU while a function ran.

    Args:
        function: What runs.
        device: Where.
        own: Bytes of what it uses and what was there before: weights, the optimizer's state.

    Returns:
        Bytes, ``own`` included, and without what other networks hold; None on the host.
    """
    if device.type != 'cuda':
        return None
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    function()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before + own


def as_graph(function: Function) -> Function | None:
    """Capture what a function does on a GPU as a CUDA graph, which costs the host no time.

    Args:
        function: Uses the same memory in each run, and has run before.

    Returns:
        A function that replays it; None where it cannot be captured, since it waits for the GPU.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            function()
    except RuntimeError:
        return None
    return graph.replay
