"""What a frozen table of positions becomes at a grid is computed once and kept."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

MOST = 8  # results kept of one table: a multi-scale test has a few grids


@dataclass
class _Kept:
    """Results of one state of a table."""

    memory: Tensor  # the table's, held so that no other tensor gets its address
    version: int
    results: dict[Hashable, Tensor] = field(default_factory=dict)

    def is_of(self, table: Tensor) -> bool:
        """Whether the table still is what it was: neither loaded nor moved nor cast."""
        return (
            self.version == table._version
            and self.memory.device == table.device
            and self.memory.dtype == table.dtype
            and self.memory.data_ptr() == table.data_ptr()
        )


_kept_of: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def once_a_grid(table: Tensor, grid: Hashable, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """Compute something of a table, or give what was computed of it before.

    A table that trains is computed anew each time, so that gradients reach it. Loading, moving and
    casting a table and writing into it are noticed; only writing through ``.data`` is not.

    Args:
        table: A parameter; what is kept of it lives as long and is in no state dict.
        grid: What the result depends on beside the table.
        compute: Gives the result of the table.

    Returns:
        The result, not to be written into.
    """
    memory = table.detach()
    if (
        table.requires_grad
        or table.is_inference()
        or torch.compiler.is_compiling()
        or torch.jit.is_tracing()  # to ONNX, for any grid
        or type(memory) is not Tensor  # one of shapes alone, of an estimate
    ):
        return compute(table)
    kept = _kept_of.get(table)
    if kept is None or not kept.is_of(table):
        kept = _kept_of[table] = _Kept(memory, table._version)
    if grid not in kept.results:
        if len(kept.results) == MOST:
            kept.results.pop(next(iter(kept.results)))
        # a training may follow, and what inference mode computes cannot be kept for backward
        with torch.inference_mode(False), torch.no_grad():
            kept.results[grid] = compute(table)
    return kept.results[grid]
