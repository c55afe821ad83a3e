"""Counts a model's parameters part by part."""

from dataclasses import dataclass

from prettytable import PrettyTable
from torch import nn


@dataclass
class ParameterCount:
    """Parameters of one part of a model."""

    trainable: int = 0
    frozen: int = 0

    @property
    def total(self) -> int:
        """Trainable and frozen parameters together."""
        return self.trainable + self.frozen


def count_parameters(model: nn.Module) -> dict[str, ParameterCount]:
    """Count parameters by part.

    Args:
        model: A segmentor.

    Returns:
        Counts by part, in the model's order: ``backbone`` and ``neck`` by their children
        (``backbone.encoder``, ``backbone.cpia``, ...), all else by its first name
        (``decode_head``, ...). A parameter that two parts share counts once.
    """
    parts: dict[str, ParameterCount] = {}
    for name, parameter in model.named_parameters():
        names = name.split('.')
        depth = 2 if names[0] in ('backbone', 'neck') else 1
        part = parts.setdefault('.'.join(names[:depth]), ParameterCount())
        if parameter.requires_grad:
            part.trainable += parameter.numel()
        else:
            part.frozen += parameter.numel()
    return parts


def parameter_table(parts: dict[str, ParameterCount]) -> PrettyTable:
    """Lay out the counts of :func:`count_parameters`, part by part and in all."""
    table = PrettyTable(['part', 'trainable', 'frozen', 'total'])
    table.align = 'r'
    table.align['part'] = 'l'
    for name, count in parts.items():
        table.add_row([name, *(f'{n:,}' for n in (count.trainable, count.frozen, count.total))])
    everything = add_counts(parts)
    table.add_divider()
    table.add_row(
        ['all', *(f'{n:,}' for n in (everything.trainable, everything.frozen, everything.total))]
    )
    return table


def add_counts(parts: dict[str, ParameterCount]) -> ParameterCount:
    """Add up the counts of all parts."""
    return ParameterCount(
        sum(count.trainable for count in parts.values()),
        sum(count.frozen for count in parts.values()),
    )
