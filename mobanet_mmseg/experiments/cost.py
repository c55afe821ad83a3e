"""What a network costs: parameters, multiply-adds, latency, a training step, memory."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mobanet_mmseg.engine.complexity import add_counts, measure_config
from mobanet_mmseg.experiments.timing import measured_peak, time_in_turns
from mobanet_mmseg.inference.predict import window_network

WARM_UP = 3  # runs that are not counted
MEBIBYTE = 2**20


def measure_cost(config: Config, repeats: int) -> dict[str, Any]:
    """Measure the network of a config, whose weights are random here.

    Args:
        config: With ``model``, ``crop_size`` and a mean per channel in the data preprocessor.
        repeats: Forward passes whose median is the latency.

    Returns:
        ``trainable`` and ``total`` parameters; ``multiply_adds`` of one crop of ``input_shape``;
        ``latency_ms`` from raw pixels to logits of the crop's size, batch 1, float32, and
        ``latency_spread_ms``, between which two the middle half of the passes lies;
        ``peak_memory_mib``, the most that torch had allocated on the GPU, weights included; None
        where it ran on the host; ``device``, the GPU's name or ``CPU``.
    """
    found = measure_config(config)
    counts = add_counts(found.parts)
    device = torch.device(get_device())
    model = build_random(config, device).eval()
    predict = prediction_of(model, found.input_shape)
    for _ in range(WARM_UP):
        predict()
    times = time_in_turns({'latency': predict}, range(repeats), device)['latency']
    memory = measured_peak(predict, device, own_bytes(model))
    return {
        'trainable': counts.trainable,
        'total': counts.total,
        'multiply_adds': found.multiply_adds,
        'input_shape': list(found.input_shape),
        'latency_ms': 1000 * times.median,
        'latency_spread_ms': 1000 * times.spread,
        'repeats': repeats,
        'peak_memory_mib': None if memory is None else memory / MEBIBYTE,
        'device': 'CPU' if memory is None else torch.cuda.get_device_name(device),
    }


def build_random(config: Config, device: torch.device) -> nn.Module:
    """Build the network of a config with random weights, whatever files it names.

    Args:
        config: With ``model``; batch norms of several processes become those of one.
        device: Where to.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    settings = Config(dict(model=config.model))
    settings.merge_from_dict(dict(random_weights(config.model)))
    model = MODELS.build(settings.model)
    return (model if is_distributed() else revert_sync_batchnorm(model)).to(device)


def prediction_of(
    model: nn.Module, shape: tuple[int, int, int], amp: torch.dtype | None = None
) -> Callable[[], Tensor]:
    """Make a function that predicts one crop, from raw pixels to logits.

    Args:
        model: A segmentor in eval mode.
        shape: (C, H, W) of the crop.
        amp: Type of autocast; None is full precision.
    """
    network = window_network(model, amp)
    device = next(model.parameters()).device
    pixels = torch.rand((1, *shape), generator=torch.Generator().manual_seed(0)).to(device)

    @torch.inference_mode()
    def predict() -> Tensor:
        return network(pixels)

    return predict


def training_step_of(
    model: nn.Module,
    config: Config,
    batch_size: int,
    shape: tuple[int, int, int],
    amp: torch.dtype | None = None,
) -> tuple[Callable[[], None], torch.optim.Optimizer]:
    """Make a function that takes one training step: forward pass, losses, backward, optimizer.

    Args:
        model: A segmentor in training mode.
        config: With ``optim_wrapper``.
        batch_size: Samples, the same ones in each step.
        shape: (C, H, W) of a sample.
        amp: Type of autocast over the forward pass and the losses; None is what the config says.

    Returns:
        The function, and its optimizer.
    """
    wrapper = build_optim_wrapper(model, config.optim_wrapper)
    device = next(model.parameters()).device
    batch = _random_batch(model, batch_size, shape, device)

    def step() -> None:
        with (
            wrapper.optim_context(model),
            nullcontext() if amp is None else torch.autocast(device.type, amp),
        ):
            data = model.data_preprocessor(batch, True)
            losses = model(**data, mode='loss')
        wrapper.update_params(model.parse_losses(losses)[0])

    return step, wrapper.optimizer


def _random_batch(
    model: nn.Module, batch_size: int, shape: tuple[int, int, int], device: torch.device
) -> dict[str, Any]:
    """Samples as a data loader gives them, on the device."""
    generator = torch.Generator().manual_seed(0)
    channels, *size = shape
    metainfo = {key: tuple(size) for key in ('img_shape', 'ori_shape', 'pad_shape')}
    batch: dict[str, Any] = {'inputs': [], 'data_samples': []}
    for _ in range(batch_size):
        image = torch.rand((channels, *size), generator=generator)
        labels = torch.randint(0, model.num_classes, (1, *size), generator=generator)
        sample = SegDataSample(metainfo=metainfo, gt_sem_seg=PixelData(data=labels))
        batch['inputs'].append(image.to(device))
        batch['data_samples'].append(sample.to(device))
    return batch


def own_bytes(model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> int:
    """Add up the bytes of a network's weights and buffers, and of an optimizer's state.

    Args:
        model: The network.
        optimizer: Which trains it.
    """
    tensors = [*model.parameters(), *model.buffers()]
    for state in optimizer.state.values() if optimizer is not None else ():
        tensors += [value for value in state.values() if isinstance(value, Tensor)]
    return sum(tensor.nbytes for tensor in tensors)


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
