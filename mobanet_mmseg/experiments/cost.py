"""What a network costs: parameters, multiply-adds, latency and memory of one crop."""

import inspect
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn

from mobanet_mmseg.engine.complexity import add_counts, measure_config
from mobanet_mmseg.inference.predict import window_network

WARM_UP = 3  # forward passes that are not counted
MEBIBYTE = 2**20


def measure_cost(config: Config, repeats: int) -> dict[str, Any]:
    """Measure the network of a config, whose weights are random here.

    Args:
        config: With ``model``, ``crop_size`` and a mean per channel in the data preprocessor.
        repeats: Forward passes whose median is the latency.

    Returns:
        ``trainable`` and ``total`` parameters; ``multiply_adds`` of one crop of ``input_shape``;
        ``latency_ms`` from raw pixels to logits of the crop's size, batch 1, float32;
        ``peak_memory_mib``, the most that torch had allocated on the GPU, weights included; None
        where it ran on the host; ``device``, the GPU's name or ``CPU``.
    """
    found = measure_config(config)
    counts = add_counts(found.parts)
    device = get_device()
    init_default_scope(config.get('default_scope', 'mmseg'))
    settings = Config(dict(model=config.model))
    settings.merge_from_dict(dict(random_weights(config.model)))
    model = MODELS.build(settings.model).to(device).eval()
    latency, memory = _run(model, (1, *found.input_shape), repeats, torch.device(device))
    return {
        'trainable': counts.trainable,
        'total': counts.total,
        'multiply_adds': found.multiply_adds,
        'input_shape': list(found.input_shape),
        'latency_ms': 1000 * latency,
        'repeats': repeats,
        'peak_memory_mib': memory,
        'device': torch.cuda.get_device_name(device) if memory is not None else 'CPU',
    }


def random_weights(settings: Any, prefix: str = 'model') -> Iterator[tuple[str, Any]]:
    """Give the overrides with which a model looks for no weights and is allowed random ones.

    Args:
        settings: The model of a config, or a part of it.
        prefix: Key of the part.
    """
    if isinstance(settings, list | tuple):
        for index, part in enumerate(settings):
            yield from random_weights(part, f'{prefix}.{index}')
    if not isinstance(settings, dict):
        return
    for key, value in settings.items():
        name = f'{prefix}.{key}'
        if key == 'pretrained' and value is not None:
            yield name, None
        elif key == 'init_cfg':
            kept = _without_files(value)
            if kept != value:
                yield name, kept
        else:
            yield from random_weights(value, name)
    if _takes(settings.get('type'), 'allow_random_encoder'):
        yield f'{prefix}.allow_random_encoder', True


def _without_files(init_cfg: Any) -> Any:
    """Take what loads a file out of an ``init_cfg``."""
    if isinstance(init_cfg, list | tuple):
        return [part for part in init_cfg if _without_files(part) is not None] or None
    loads = isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained'
    return None if loads else init_cfg


def _takes(kind: Any, argument: str) -> bool:
    """Whether a component of a config has an argument, its own or inherited."""
    kind = MODELS.get(kind) if isinstance(kind, str) else kind
    return inspect.isclass(kind) and any(
        argument in inspect.signature(parent.__init__).parameters for parent in kind.__mro__
    )


@torch.no_grad()
def _run(
    model: nn.Module, shape: tuple[int, ...], repeats: int, device: torch.device
) -> tuple[float, float | None]:
    """The median of the seconds of a forward pass, and the peak memory on a GPU."""
    network = window_network(model)
    windows = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(device)
    on_gpu = device.type == 'cuda'
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(WARM_UP + repeats):
        if on_gpu:
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        network(windows)
        if on_gpu:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
    memory = torch.cuda.max_memory_allocated(device) / MEBIBYTE if on_gpu else None
    return statistics.median(seconds[WARM_UP:]), memory
