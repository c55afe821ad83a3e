"""What a config's model costs: parameters part by part, and operations at its crop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from mobanet_mmseg.engine.parameters import ParameterCount, add_counts, count_parameters
from mobanet_mmseg.models.multimodal_vit import MultimodalViT


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
    crop_size = crop_size or config.get('crop_size')
    preprocessor = config.model.get('data_preprocessor') or {}
    if crop_size is None or not preprocessor.get('mean'):
        raise ValueError(
            f'{config.filename} has no crop_size, or no data_preprocessor.mean that tells the '
            'channels: add what is missing to the config (or give the crop by --shape).'
        )
    divisor = preprocessor.get('size_divisor') or 1
    height, width = (size + -size % divisor for size in crop_size)
    shape = (len(preprocessor.mean), height, width)
    model = build_without_memory(config)
    return Complexity(count_parameters(model), shape, count_multiply_adds(model, shape))


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
    for module in model.modules():
        if isinstance(module, MultimodalViT):
            module.allow_random_encoder = True  # nothing here has values
    model.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), _meta_device(), counter:
        model(torch.empty(1, *shape), mode='tensor')
    return counter.get_total_flops() // 2  # torch counts a multiply-add as two


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
