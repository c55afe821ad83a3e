"""Speed and memory of networks side by side, in one run: Table III for any configs."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from mobanet_mmseg.configs import read_config
from mobanet_mmseg.engine.complexity import Complexity, add_counts, measure_config
from mobanet_mmseg.engine.memory import estimate_prediction_memory, estimate_step_memory
from mobanet_mmseg.experiments.cost import (
    WARM_UP,
    build_random,
    own_bytes,
    prediction_of,
    training_step_of,
)
from mobanet_mmseg.experiments.networks import paper_row
from mobanet_mmseg.experiments.timing import Times, as_graph, measured_peak, time_in_turns
from mobanet_mmseg.experiments.yardsticks import PlainComposition, run_streams, train_streams
from mobanet_mmseg.models.multimodal_vit import MultimodalViT

PREDICT, TRAIN = SECTIONS = ('predict', 'train')
BARE, COMPOSITION = 'two bare streams', 'plain two-pass composition'


@dataclass(frozen=True)
class Settings:
    """What all rows have in common.

    Args:
        repeats: Rounds, of which the medians count.
        batch_size: Samples of a training step that is timed; None takes the first config's.
        memory_batch_size: Samples of the step whose memory is told; None takes the first config's.
        device: Where the networks run.
        amp: Type of autocast, of the yardsticks not; None is full precision.
        sections: ``'predict'``, ``'train'`` or both.
        yardsticks: Whether the bare streams and the plain composition run beside the first config
            with a ``MultimodalViT``.
    """

    repeats: int
    batch_size: int | None
    memory_batch_size: int | None
    device: torch.device
    amp: torch.dtype | None
    sections: tuple[str, ...] = SECTIONS
    yardsticks: bool = True

    def resolved(self, first: Config) -> 'Settings':
        """Take the sizes of batches that are not given from a config.

        Args:
            first: The first config.

        Raises:
            ValueError: If it has none.
        """
        if TRAIN not in self.sections:
            return self
        own = (first.get('train_dataloader') or {}).get('batch_size')
        sizes = [self.batch_size or own, self.memory_batch_size or own]
        if None in sizes:
            raise ValueError(
                f'{first.filename} has no train_dataloader.batch_size: give --batch-size and '
                '--memory-batch-size, or --sections predict.'
            )
        return Settings(self.repeats, *sizes, self.device, self.amp, self.sections, self.yardsticks)


@dataclass
class Row:
    """A network and what was measured of it.

    Args:
        name: What the tables call it.
        config: Its config; of the bare streams that of the network whose encoder they are.
        paper: Name of its row in the paper's Table III; empty if it has none.
        complexity: Parameters and multiply-adds; None of the bare streams.
        prediction: Of a crop.
        graph: Of a crop, replayed as a CUDA graph; None where there is none.
        prediction_memory: Most bytes on a GPU while it predicts; None where not measured.
        estimated_prediction_memory: What the tensors of a prediction take; None where not known.
        step: Of a training step.
        step_memory: Most bytes on a GPU in a training step; None where not measured.
        estimated_step_memory: What the tensors of a training step take; None where not known.
    """

    name: str
    config: Config
    paper: str = ''
    complexity: Complexity | None = None
    prediction: Times | None = None
    graph: Times | None = None
    prediction_memory: int | None = None
    estimated_prediction_memory: int | None = None
    step: Times | None = None
    step_memory: int | None = None
    estimated_step_memory: int | None = None

    @property
    def is_yardstick(self) -> bool:
        """Whether it is one of ours to measure others against."""
        return self.name in (BARE, COMPOSITION)

    def to_dict(self) -> dict[str, Any]:
        """Give the numbers as JSON takes them: seconds, bytes."""
        known = self.complexity
        counts = add_counts(known.parts) if known else None
        return {
            'name': self.name,
            'config': self.config.filename,
            'paper': self.paper,
            'trainable': counts and counts.trainable,
            'total': counts and counts.total,
            'multiply_adds': known and known.multiply_adds,
            'input_shape': known and list(known.input_shape),
            'prediction_seconds': self.prediction and list(self.prediction.seconds),
            'graph_seconds': self.graph and list(self.graph.seconds),
            'prediction_bytes': self.prediction_memory,
            'estimated_prediction_bytes': self.estimated_prediction_memory,
            'step_seconds': self.step and list(self.step.seconds),
            'step_bytes': self.step_memory,
            'estimated_step_bytes': self.estimated_step_memory,
        }


def plan_rows(
    files: Sequence[Path],
    variants: Sequence[tuple[str, dict[str, Any]]] = (),
    overrides: dict[str, Any] | None = None,
) -> list[Row]:
    """Read configs.

    Args:
        files: One a row.
        variants: Further rows: a name, and settings that override the first config's.
        overrides: Settings of all rows.

    Raises:
        FileNotFoundError: If a config is missing.
        ValueError: If two rows have one name.
    """
    rows = []
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f'There is no config {path}: give the path of a config file.')
        rows.append(Row(path.stem, _read(path, overrides), paper_row(path)))
    for name, settings in variants:
        rows.append(Row(name, _read(files[0], {**(overrides or {}), **settings})))
    names = [row.name for row in rows]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ValueError(f'Two rows are called {double[0]}: rename a config or a variant.')
    return rows


def _read(path: Path, overrides: dict[str, Any] | None) -> Config:
    config = read_config(path)
    config.merge_from_dict(overrides or {})
    return config


def measure_rows(
    rows: list[Row], settings: Settings, watch: Callable[[range, str], Iterable[int]]
) -> list[Row]:
    """Measure networks in turns, and the yardsticks with them.

    Args:
        rows: What to measure; the numbers are noted in them.
        settings: How.
        watch: Goes through the rounds of a section, and may show it.

    Returns:
        The rows and the yardsticks.

    Raises:
        ValueError: If a config does not say how large its crop is, of how many channels, or how it
            is trained.
    """
    rows = [*rows, *(_yardsticks(rows) if settings.yardsticks else ())]
    for row in rows:
        if row.name != BARE:
            row.complexity = measure_config(row.config)
        if TRAIN in settings.sections and not row.config.get('optim_wrapper'):
            raise ValueError(
                f'{row.config.filename} has no optim_wrapper to train with: give --sections '
                'predict, or a config with a schedule.'
            )
    models = {
        row.name: build_random(row.config, settings.device) for row in rows if row.name != BARE
    }
    if PREDICT in settings.sections:
        _time_predictions(rows, models, settings, watch)
    if TRAIN in settings.sections:
        _time_steps(rows, models, settings, watch)
    for row in rows:
        if row.name != BARE:
            _estimate(row, settings)
    return rows


def _yardsticks(rows: Sequence[Row]) -> list[Row]:
    """The yardsticks of the first config with a MultimodalViT."""
    for row in rows:
        kind = (row.config.model.get('backbone') or {}).get('type')
        if (MODELS.get(kind) if isinstance(kind, str) else kind) is MultimodalViT:
            plain = deepcopy(row.config)
            plain.model.backbone.type = PlainComposition
            return [Row(COMPOSITION, plain), Row(BARE, row.config)]
    return []


def _reference(rows: Sequence[Row]) -> Row:
    """The network whose encoder the bare streams are."""
    return next(row for row in rows if row.config is rows[-1].config)


def _time_predictions(
    rows: Sequence[Row],
    models: dict[str, nn.Module],
    settings: Settings,
    watch: Callable[[range, str], Iterable[int]],
) -> None:
    """Time the prediction of a crop, and measure its memory."""
    functions, graphs = {}, {}
    for row in rows:
        if row.name == BARE:
            backbone = models[_reference(rows).name].backbone
            pixels = torch.rand((1, *_reference(rows).complexity.input_shape)).to(settings.device)
            functions[row.name] = partial(run_streams, backbone, pixels)
            own = own_bytes(backbone.encoder)
        else:
            model = models[row.name].eval()
            amp = None if row.is_yardstick else settings.amp
            functions[row.name] = prediction_of(model, row.complexity.input_shape, amp)
            own = own_bytes(model)
        for _ in range(WARM_UP):
            functions[row.name]()
        row.prediction_memory = measured_peak(functions[row.name], settings.device, own)
        if settings.device.type == 'cuda':
            graph = as_graph(functions[row.name])
            graphs |= {f'{row.name}, graph': graph} if graph else {}
    rounds = watch(range(settings.repeats), 'Predicting')
    times = time_in_turns(functions | graphs, rounds, settings.device)
    for row in rows:
        row.prediction, row.graph = times[row.name], times.get(f'{row.name}, graph')


def _time_steps(
    rows: Sequence[Row],
    models: dict[str, nn.Module],
    settings: Settings,
    watch: Callable[[range, str], Iterable[int]],
) -> None:
    """Time a training step, and measure its memory."""
    functions = {}
    for row in rows:
        if row.name == BARE:
            backbone = models[_reference(rows).name].backbone
            shape = (settings.batch_size, *_reference(rows).complexity.input_shape)
            pixels = torch.rand(shape).to(settings.device)
            functions[row.name] = partial(train_streams, backbone, pixels)
        else:
            model, shape = models[row.name].train(), row.complexity.input_shape
            amp = None if row.is_yardstick else settings.amp
            step_of = partial(training_step_of, model, row.config, shape=shape, amp=amp)
            functions[row.name], _ = step_of(settings.batch_size)
            if settings.device.type == 'cuda':
                large, optimizer = step_of(settings.memory_batch_size)
                large()  # makes the optimizer's state
                own = own_bytes(model, optimizer)
                row.step_memory = measured_peak(large, settings.device, own)
        for _ in range(WARM_UP - 1):
            functions[row.name]()
    rounds = watch(range(settings.repeats), 'Training')
    times = time_in_turns(functions, rounds, settings.device)
    for row in rows:
        row.step = times[row.name]


def _estimate(row: Row, settings: Settings) -> None:
    """Estimate the memory of a row."""
    config = deepcopy(row.config)
    if settings.amp is not None and not row.is_yardstick:
        config.merge_from_dict({'optim_wrapper.dtype': str(settings.amp)})
    if PREDICT in settings.sections:
        row.estimated_prediction_memory = estimate_prediction_memory(config)
    if TRAIN in settings.sections:
        row.estimated_step_memory = estimate_step_memory(config, settings.memory_batch_size)
