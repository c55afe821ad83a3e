"""Numbers that two implementations of one network share, whatever their tensors are called.

The network is filled by a rule and run on images of a rule, in float64; the public implementation,
filled and run in the same way, gave the numbers that a test expects.
"""

from typing import NamedTuple

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from scenes.paths import ROOT
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from mobanet_mmseg.engine.complexity import build_without_memory

SIZE = 256
PLACES = ((0, 0, 0), (2, 100, 37), (5, 200, 200))  # channel, row, column of 256 x 256
NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
DRAWS = (Tensor.uniform_, Tensor.normal_, Tensor.erfinv_)


class Fingerprint(NamedTuple):
    """What is compared of (1, 6, H, W) logits: three of them lie at fixed places."""

    mean: float
    std: float
    a: float  # [0, 0, 0, 0]
    b: float  # [0, 2, 100, 37] of 256 x 256
    d: float  # [0, 5, 200, 200] of 256 x 256
    histogram: tuple[int, ...]  # pixels whose argmax is 0, 1, ...


def model_base(name: str) -> Config:
    """The model of a file of ``configs/_base_/models``."""
    return Config.fromfile(ROOT / 'configs' / '_base_' / 'models' / f'{name}.py').model


def without_memory(model: Config) -> nn.Module:
    """Build a model on the meta device, to count its parameters."""
    return build_without_memory(Config(dict(model=model)))


def count(network: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(value.numel() for value in network.parameters() if value.requires_grad)


def images(channels: int) -> Tensor:
    """(1, channels, 256, 256): three optical channels, and a surface model as the fourth."""
    optical = torch.arange(3 * SIZE * SIZE, dtype=torch.float64).mul(0.01).sin()
    height = torch.arange(SIZE * SIZE, dtype=torch.float64).mul(0.013).sin()
    stacked = torch.cat([optical, 0.5 + 0.5 * height]).view(1, 4, SIZE, SIZE)
    return stacked[:, :channels]


class Undrawn(TorchFunctionMode):
    """Leaves out the draws of random weights, which :func:`fill` replaces."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return args[0] if func in DRAWS else func(*args, **(kwargs or {}))


def build_double(model: dict) -> nn.Module:
    """Build a model in float64 that is to be filled."""
    torch.set_default_dtype(torch.float64)
    try:
        with Undrawn():
            return MODELS.build(model)
    finally:
        torch.set_default_dtype(torch.float32)


@torch.no_grad()
def fill(network: nn.Module) -> nn.Module:
    """Give each parameter waves of its own flat index; the network comes back in eval mode."""
    network.double().eval()
    longest = max(parameter.numel() for parameter in network.parameters())
    waves = torch.arange(longest, dtype=torch.float64).mul_(0.7).add_(0.1).sin_()
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            parameter.copy_(waves[: parameter.numel()].view_as(parameter))
            if name == 'weight' and isinstance(module, NORMS):
                parameter.mul_(0.1).add_(1)
            elif name == 'weight' and isinstance(module, _ConvNd | nn.Linear):
                parameter.mul_((2 * len(parameter) / parameter.numel()) ** 0.5)
            else:
                parameter.mul_(0.1)
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()
    return network


@torch.no_grad()
def fingerprint(output: Tensor) -> Fingerprint:
    """Take the numbers of (1, 6, H, W) logits."""
    scales = [side / SIZE for side in output.shape[-2:]]
    values = [
        output[0, channel, int(row * scales[0]), int(column * scales[1])].item()
        for channel, row, column in PLACES
    ]
    histogram = output.argmax(dim=1).flatten().bincount(minlength=output.shape[1])
    return Fingerprint(
        output.mean().item(), output.std().item(), *values, tuple(histogram.tolist())
    )


@torch.no_grad()
def logits(segmentor: nn.Module, inputs: Tensor) -> Tensor:
    """Logits of a segmentor for a normalised batch, at the batch's size."""
    metas = [dict(img_shape=inputs.shape[-2:])] * len(inputs)
    return segmentor.encode_decode(inputs, metas)


def check(model: dict, expected: Fingerprint, digits: int = 6, log_softmax: bool = False) -> None:
    """Build a segmentor of 6 classes, fill and run it, and compare its logits.

    Some public implementations end in a log-softmax, which cross-entropy does not see.
    """
    segmentor = fill(build_double(model))
    output = logits(segmentor, images(len(model['data_preprocessor']['mean'])))
    given = fingerprint(output.log_softmax(dim=1) if log_softmax else output)
    assert given[:5] == pytest.approx(expected[:5], rel=0.5 * 10.0 ** (1 - digits), abs=1e-12)
    assert given.histogram == expected.histogram
