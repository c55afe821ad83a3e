"""Counts a model's parameters part by part."""

from dataclasses import dataclass

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
