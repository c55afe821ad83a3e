"""Mixed precision: bf16 where the device has it, as CPUs do, and fp16 where it is asked for."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmseg.registry import MODELS, OPTIM_WRAPPERS
from torch import nn

from mobanet_mmseg.models.encoder import Encoder

PRECISIONS = ('auto', 'bf16', 'fp16')  # auto: bf16 where the device has it, else fp16
FP16_SETTINGS = ('loss_scale', 'dtype', 'use_fsdp')  # of MMEngine's AmpOptimWrapper alone


@OPTIM_WRAPPERS.register_module()
class Bf16OptimWrapper(OptimWrapper):
    """``OptimWrapper`` under whose context operations that can bear it run in bf16 (autocast).

    Weights, gradients and the optimizer's state stay float32. bf16 has float32's range, so that no
    loss is scaled, and CPUs compute in it, too, which MMEngine's ``AmpOptimWrapper`` refuses.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Enter autocast on the device of the model, and what ``OptimWrapper`` enters.

        Args:
            model: The model that is trained.
        """
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def has_bf16() -> bool:
    """Whether the device that a training takes computes in bf16, and does not emulate it."""
    device = get_device()
    if device == 'cuda':
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == 'cpu'


def set_precision(config: Config, precision: str) -> None:
    """Let a config train in mixed precision.

    Args:
        config: With an ``optim_wrapper``, whose type is then the one of that precision.
        precision: One of :data:`PRECISIONS`.
    """
    wrapper = config.optim_wrapper
    plain = full_precision(wrapper)
    if precision == 'bf16' or (precision == 'auto' and has_bf16()):
        for key in FP16_SETTINGS:
            wrapper.pop(key, None)
        wrapper.type = f'Bf16{plain}'
        return
    wrapper.update(type=f'Amp{plain}', dtype='float16')
    wrapper.setdefault('loss_scale', 'dynamic')


def full_precision(wrapper: dict[str, Any]) -> str:
    """Name the optimizer wrapper that does in full precision what one in any precision does.

    Args:
        wrapper: Settings of the latter.
    """
    return wrapper.get('type', 'OptimWrapper').removeprefix('Amp').removeprefix('Bf16')


def precision_disagreements(config: Config) -> Iterator[str]:
    """Say why a config cannot train in the precision that it asks for.

    Args:
        config: With a model and an ``optim_wrapper``.

    Yields:
        Sentences that say what to take instead.
    """
    settings = config.get('optim_wrapper', {})
    kind = OPTIM_WRAPPERS.get(settings.get('type', 'OptimWrapper'))
    if not inspect.isclass(kind):
        return
    name = f'optim_wrapper.type={kind.__name__}'
    if issubclass(kind, Bf16OptimWrapper) and not has_bf16():
        yield (
            f'{name} (--amp bf16) needs a device that computes in bf16, and this one '
            f'({get_device()}) does not: take --amp fp16, or leave --amp out.'
        )
    if not issubclass(kind, AmpOptimWrapper):
        return
    if get_device() == 'cpu':
        yield (
            f'{name} (--amp fp16) needs a GPU, and there is none: take --amp bf16, which a CPU '
            'computes, too, or leave --amp out.'
        )
    if settings.get('dtype') in (None, 'float16', torch.float16):
        for encoder in _encoders(config.get('model')):
            if encoder.overflows_in_fp16:
                yield (
                    f'{name} (--amp fp16) would let the activations of {encoder.__name__} '
                    'overflow: take --amp bf16, or leave --amp out.'
                )


def _encoders(settings: Any) -> Iterator[type[Encoder]]:
    """Find the kinds of the frozen encoders in the settings of a model."""
    if isinstance(settings, list | tuple):
        settings = dict(enumerate(settings))
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        if key == 'encoder' and isinstance(value, dict) and isinstance(value.get('type'), str):
            kind = MODELS.get(value['type'])
            if inspect.isclass(kind) and issubclass(kind, Encoder):
                yield kind
        yield from _encoders(value)
