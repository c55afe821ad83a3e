"""Estimates the peak memory of training steps and predictions on tensors without values."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.registry import OPTIM_WRAPPERS, OPTIMIZERS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from mobanet_mmseg.engine.complexity import build_without_memory, sample_shape
from mobanet_mmseg.engine.precision import full_precision
from mobanet_mmseg.models.frozen_streams import FrozenStreams

aten = torch.ops.aten
INDEXED = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default)


def estimate_step_memory(config: Config, batch_size: int | None = None) -> int | None:
    """Estimate the most memory that all tensors of a training step take at once.

    Weights, the optimizer's state, gradients, and whatever forward pass, losses and backward pass
    keep or need for a moment. Not in it are what the kernels take for themselves, and the gaps of
    an allocator: a GPU needs more.

    Args:
        config: With ``model``, ``optim_wrapper``, a size of crops and a mean per channel.
        batch_size: Samples of the step; None takes the config's.

    Returns:
        Bytes; None where the config does not say what its samples are, or its network asks for
        values, which the tensors here do not have.
    """
    loader = config.get('train_dataloader') or {}
    sampler = loader.get('sampler') or {}
    shape = sample_shape(config, sampler.get('window_size', config.get('crop_size')))
    batch_size = batch_size or loader.get('batch_size')
    if shape is None or batch_size is None:
        return None
    try:
        return _run_step(config, (batch_size, *shape))
    except Exception:  # what is no whole model, or does not run in shapes alone, is not judged
        return None


def estimate_prediction_memory(config: Config) -> int | None:
    """Estimate the most memory that all tensors of the prediction of a crop take at once.

    Args:
        config: With ``model``, ``crop_size`` and a mean per channel; ``optim_wrapper`` may say that
            it runs in mixed precision.

    Returns:
        See :func:`estimate_step_memory`.
    """
    shape = sample_shape(config, config.get('crop_size'))
    if shape is None:
        return None
    try:
        return _run_prediction(config, (1, *shape))
    except Exception:  # see above
        return None


def _run_step(config: Config, shape: tuple[int, int, int, int]) -> int:
    """The peak of a step on (B, C, H, W) images; it is over when all gradients are there."""
    settings = config.get('optim_wrapper') or {}
    with _without_values(config) as (model, memory):
        model.train()
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        stand_in = nn.Parameter(torch.empty(sum(parameter.numel() for parameter in trained)))
        optimizer = _with_state(stand_in, settings)
        if optimizer._accumulative_counts > 1:  # gradients stay while the next samples run
            for parameter in trained:
                parameter.grad = torch.zeros_like(parameter)
        memory.peak = memory.now
        images, samples = _random_samples(shape, model.num_classes)
        with _autocast(settings):
            losses = model(images, samples, mode='loss')
        loss, _ = model.parse_losses(losses)
        loss.backward()
    return memory.peak - stand_in.nbytes


def _run_prediction(config: Config, shape: tuple[int, int, int, int]) -> int:
    """The peak of a prediction of (B, C, H, W) images."""
    with _without_values(config) as (model, memory), torch.no_grad():
        model.eval()
        with _autocast(config.get('optim_wrapper') or {}):
            model.encode_decode(torch.rand(shape), [{'img_shape': torch.Size(shape[2:])}])
    return memory.peak


@contextmanager
def _without_values(config: Config) -> Iterator[tuple[nn.Module, 'Memory']]:
    """Build the network of a config without values; new tensors have none, and are counted."""
    model = revert_sync_batchnorm(build_without_memory(config))
    for module in model.modules():
        if isinstance(module, FrozenStreams):
            module.allow_random_encoder = True  # nothing here has values
    with torch.random.fork_rng(devices=()), FakeTensorMode(allow_non_fake_inputs=True):
        model.to_empty(device='cpu')
        memory = Memory()
        memory.count([*model.parameters(), *model.buffers()])
        with memory, StandIns():
            yield model, memory


def _with_state(weights: nn.Parameter, settings: dict[str, Any]) -> OptimWrapper:
    """The optimizer of some weights, after a step: with its state, which is as large for any."""
    optimizer = {**deepcopy(settings.get('optimizer', {'type': 'AdamW'})), 'params': [weights]}
    optimizer.pop('fused', None)  # has the same state
    rest = {'optimizer', 'paramwise_cfg', 'constructor', 'dtype', 'loss_scale', 'clip_grad'}
    wrapper = {key: value for key, value in settings.items() if key not in rest}
    wrapper['type'] = full_precision(wrapper)
    built = OPTIM_WRAPPERS.build({**wrapper, 'optimizer': OPTIMIZERS.build(optimizer)})
    weights.grad = torch.zeros_like(weights)
    built.step()
    built.zero_grad()
    return built


def _autocast(settings: dict[str, Any]) -> Any:
    """Lower what mixed precision lowers; its two types have one size."""
    mixed = settings.get('type', '').startswith(('Amp', 'Bf16'))
    lowers = mixed or settings.get('dtype') is not None
    if not lowers or 'float32' in str(settings.get('dtype')):
        return nullcontext()
    return torch.autocast('cpu', torch.bfloat16)


def _random_samples(
    shape: tuple[int, int, int, int], classes: int
) -> tuple[Tensor, list[SegDataSample]]:
    """Images of a shape, as the network gets them, and their labels."""
    batch_size, _, *size = shape
    metainfo = {key: tuple(size) for key in ('img_shape', 'ori_shape', 'pad_shape')}
    labels = torch.randint(0, classes, (batch_size, 1, *size))
    samples = [SegDataSample(metainfo=metainfo, gt_sem_seg=PixelData(data=each)) for each in labels]
    return torch.rand(shape), samples


class Memory(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive; those that share memory count once.

    ``torch.distributed._tools.MemTracker`` does the same by module, and asks for modules that run
    once a step, which not all networks have.

    Attributes:
        now: Bytes that are alive.
        peak: The most that were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: dict[int, weakref.ref] = {}

    def count(self, tensors: Any) -> None:
        """Count the tensors of anything that holds some; they leave the count when they die."""
        for tensor in tree_iter(tensors):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return

        def free(_: weakref.ref) -> None:
            del self._alive[key]
            self.now -= size

        self._alive[key] = weakref.ref(storage, free)
        self.now += size
        self.peak = max(self.peak, self.now)

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation and count what it gives."""
        found = func(*args, **(kwargs or {}))
        self.count(found)
        return found


class StandIns(TorchDispatchMode):
    """Answers what only values could: a number is 1, a mask is true everywhere."""

    def __torch_dispatch__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Run an operation, or answer in its place."""
        kwargs = kwargs or {}
        if func is aten._local_scalar_dense.default:
            try:
                return func(*args)
            except DataDependentOutputException:
                return True if args[0].dtype is torch.bool else 1
        if func is aten.nonzero.default:
            return args[0].new_zeros((args[0].numel(), args[0].ndim), dtype=torch.long)
        if func is aten.masked_select.default:
            return args[0].new_zeros(torch.broadcast_shapes(args[0].shape, args[1].shape).numel())
        if func in INDEXED:
            args = (args[0], list(_all_chosen(args[1])), *args[2:])
        return func(*args, **kwargs)


def _all_chosen(indices: list[Tensor | None]) -> Iterator[Tensor | None]:
    """Spell masks out as the indices of all their places."""
    for index in indices:
        if index is not None and index.dtype in (torch.bool, torch.uint8):
            yield from [index.new_zeros(index.numel(), dtype=torch.long)] * index.ndim
        else:
            yield index
