"""What a model costs: parameters part by part, and operations at its crop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from prettytable import PrettyTable
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from mobanet_mmseg.models.frozen_streams import FrozenStreams


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


@dataclass(frozen=True)
class Complexity:
    """Cost of a model.

    Args:
        parts: Parameters by part.
        input_shape: (C, H, W) of the one crop that is predicted, as the network gets it: padded.
        multiply_adds: Multiply-adds of that prediction in convolutions, linear layers and
            attention; a multiply-add is two FLOPs.
    """

    parts: dict[str, ParameterCount]
    input_shape: tuple[int, int, int]
    multiply_adds: int

    def to_dict(self) -> dict[str, Any]:
        """Give the numbers as JSON takes them; FLOPs are twice the multiply-adds."""
        counts = {**self.parts, 'all': add_counts(self.parts)}
        return {
            'parameters': {
                name: {'trainable': n.trainable, 'frozen': n.frozen, 'total': n.total}
                for name, n in counts.items()
            },
            'input_shape': list(self.input_shape),
            'multiply_adds': self.multiply_adds,
            'flops': 2 * self.multiply_adds,
        }


def measure_config(config: Config, crop_size: Sequence[int] | None = None) -> Complexity:
    """Measure the model of a config without memory for its weights.

    Args:
        config: A config with ``model``, whose data preprocessor has a mean per channel.
        crop_size: Height and width, pixels; ``None`` takes the config's ``crop_size``.

    Returns:
        The model's cost.

    Raises:
        ValueError: If the config does not say how large its crop is, or of how many channels.
    """
    shape = sample_shape(config, crop_size or config.get('crop_size'))
    if shape is None:
        raise ValueError(
            f'{config.filename} has no crop_size, or no data_preprocessor.mean that tells the '
            'channels: add what is missing to the config (or give the crop by --shape).'
        )
    model = build_without_memory(config)
    return Complexity(count_parameters(model), shape, count_multiply_adds(model, shape))


def sample_shape(
    config: Config, crop_size: int | Sequence[int] | None
) -> tuple[int, int, int] | None:
    """Give (C, H, W) of a sample as the network gets it, padded; None if the config hides it.

    Args:
        config: A config with ``model``, whose data preprocessor has a mean per channel.
        crop_size: Height and width, pixels, or one number for both; None is not known.
    """
    preprocessor = (config.get('model') or {}).get('data_preprocessor') or {}
    if crop_size is None or not preprocessor.get('mean'):
        return None
    height, width = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size
    divisor = preprocessor.get('size_divisor') or 1
    return len(preprocessor['mean']), height + -height % divisor, width + -width % divisor


def build_without_memory(config: Config) -> nn.Module:
    """Build the model of a config on the meta device: shapes without values."""
    init_default_scope(config.get('default_scope', 'mmseg'))
    with _meta_device():
        return MODELS.build(deepcopy(config.model))


def count_multiply_adds(model: nn.Module, shape: Sequence[int]) -> int:
    """Count the multiply-adds of predicting one image.

    Convolutions, linear layers and attention count; norms, activations and resizing do not.

    Args:
        model: A segmentor on the meta device; its auxiliary heads do not run.
        shape: (C, H, W) of the image.

    Returns:
        Multiply-adds; FLOPs are twice as many.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        run_without_memory(model, shape)
    return counter.get_total_flops() // 2  # torch counts a multiply-add as two


def run_without_memory(model: nn.Module, shape: Sequence[int]) -> None:
    """Predict one image in shapes alone.

    Args:
        model: A segmentor on the meta device; its auxiliary heads do not run.
        shape: (C, H, W) of the image.
    """
    for module in model.modules():
        if isinstance(module, FrozenStreams):
            module.allow_random_encoder = True  # nothing here has values
    model.eval()
    with torch.no_grad(), _meta_device():
        model(torch.empty(1, *shape), mode='tensor')


class _RealSchedules(TorchFunctionMode):
    """Leaves ``torch.linspace`` on the CPU: backbones read their drop path rates off it."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.linspace:
            kwargs.setdefault('device', 'cpu')
        return func(*args, **kwargs)


@contextmanager
def _meta_device() -> Iterator[None]:
    with torch.device('meta'), _RealSchedules():
        yield
