"""The tables of what networks cost side by side, the paper's values beside them."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from mobanet_mmseg.engine.complexity import add_counts
from mobanet_mmseg.engine.machine import describe_machine
from mobanet_mmseg.experiments.cost import MEBIBYTE
from mobanet_mmseg.experiments.paper import COST_HEADER, COSTS
from mobanet_mmseg.experiments.speed import BARE, COMPOSITION, PREDICT, TRAIN, Row, Settings
from mobanet_mmseg.experiments.tables import NOT_MEASURED, Table
from mobanet_mmseg.experiments.timing import Times

NONE = '-'


def to_markdown(rows: Sequence[Row], settings: Settings) -> str:
    """Lay out the tables and what has to be known beside them.

    Args:
        rows: What was measured; the first one is what the others are compared with.
        settings: How it was measured.
    """
    tables = []
    if PREDICT in settings.sections:
        tables.append(_predictions(rows, settings).markdown())
    if TRAIN in settings.sections:
        tables.append(_steps(rows, settings).markdown())
    notes = ''.join(f'- {note}\n' for note in _notes(rows, settings))
    return '\n'.join([*tables, notes])


def to_json(rows: Sequence[Row], settings: Settings) -> str:
    """Give all that was measured, run by run.

    Args:
        rows: What was measured.
        settings: How it was measured.
    """
    given = {'repeats': settings.repeats, 'amp': settings.amp and str(settings.amp)}
    given |= {'batch_size': settings.batch_size, 'memory_batch_size': settings.memory_batch_size}
    numbers: dict[str, Any] = {'machine': describe_machine(settings.device), 'settings': given}
    numbers['rows'] = [
        {**row.to_dict(), 'ratios': {'prediction': predicted, 'step': trained}}
        for row, predicted, trained in zip(
            rows, _ratios(rows, 'prediction'), _ratios(rows, 'step'), strict=True
        )
    ]
    return json.dumps(numbers, indent=1)


def _predictions(rows: Sequence[Row], settings: Settings) -> Table:
    """Parameters, multiply-adds, latency and memory of a crop; the paper's Table III."""
    references = _references(rows)
    on_gpu = settings.device.type == 'cuda'
    header = ['network', 'trainable (M)', 'all (M)', 'multiply-adds (G)', 'latency (ms)']
    header += ['spread (ms)', 'FPS', *(f'of the {name}' for name in references)]
    header += ['CUDA graph (ms)'] if on_gpu else []
    header += ['peak memory (MiB)', 'estimated memory (MiB)']
    papers = any(row.paper in COSTS for row in rows)
    header += [f"paper's {name}" for name in COST_HEADER if papers]
    table = Table('Predicting a crop, batch 1', tuple(header), [])
    for row, ratios in zip(rows, _ratios(rows, 'prediction'), strict=True):
        cells = [row.name, *_counted(row), *_timed(row.prediction, 1000, 1)]
        cells.append(f'{1 / row.prediction.median:.2f}')
        cells += [f'{ratios[name]:.3f}' for name in references]
        if on_gpu:
            cells.append(f'{1000 * row.graph.median:.2f}' if row.graph else NONE)
        cells += _memory(row, row.prediction_memory, row.estimated_prediction_memory)
        table.rows.append((*cells, *(COSTS.get(row.paper, (NONE,) * 4) if papers else ())))
    return table


def _steps(rows: Sequence[Row], settings: Settings) -> Table:
    """Seconds and memory of a training step."""
    references = _references(rows)
    header = ['network', 'step (ms)', 'spread (ms)', *(f'of the {name}' for name in references)]
    header += ['peak memory (MiB)', 'estimated memory (MiB)', 'of the first']
    title = f'A training step of batch {settings.batch_size}'
    if settings.memory_batch_size != settings.batch_size:
        title += f'; its memory at batch {settings.memory_batch_size}'
    table = Table(title, tuple(header), [])
    first = rows[0]
    for row, ratios in zip(rows, _ratios(rows, 'step'), strict=True):
        cells = [row.name, *_timed(row.step, 1000, 1)]
        cells += [f'{ratios[name]:.3f}' for name in references]
        cells += _memory(row, row.step_memory, row.estimated_step_memory)
        share = _share(row.estimated_step_memory, first.estimated_step_memory)
        table.rows.append((*cells, _share(row.step_memory, first.step_memory) or share or NONE))
    return table


def _references(rows: Sequence[Row]) -> dict[str, Row]:
    """What each row is compared with, by what a column says."""
    names = {BARE: 'bare streams', COMPOSITION: 'composition'}
    return {'first': rows[0], **{names[row.name]: row for row in rows if row.is_yardstick}}


def _ratios(rows: Sequence[Row], what: str) -> list[dict[str, float]]:
    """Each row's time as a part of that of each reference; nothing where none was taken."""
    if getattr(rows[0], what) is None:
        return [{} for _ in rows]
    references = _references(rows)
    return [
        {
            name: getattr(row, what).ratio_to(getattr(other, what))
            for name, other in references.items()
        }
        for row in rows
    ]


def _counted(row: Row) -> tuple[str, str, str]:
    if row.complexity is None:
        return NONE, NONE, NONE
    counts = add_counts(row.complexity.parts)
    numbers = counts.trainable / 1e6, counts.total / 1e6, row.complexity.multiply_adds / 1e9
    return tuple(f'{number:.2f}' for number in numbers)


def _timed(times: Times, unit: float, digits: int) -> tuple[str, str]:
    return f'{unit * times.median:.{digits}f}', f'{unit * times.spread:.{digits}f}'


def _memory(row: Row, measured: int | None, estimated: int | None) -> tuple[str, str]:
    """What was measured on a GPU, and what is estimated, MiB; of the bare streams nothing is."""
    unknown = (NOT_MEASURED, NONE if row.name == BARE else 'not known')
    return tuple(
        other if size is None else f'{size / MEBIBYTE:.0f}'
        for size, other in zip((measured, estimated), unknown, strict=True)
    )


def _share(size: int | None, whole: int | None) -> str:
    return f'{size / whole:.3f}' if size and whole else ''


def _notes(rows: Sequence[Row], settings: Settings) -> Iterator[str]:
    """What has to be known beside the tables."""
    yield f'Measured on: {describe_machine(settings.device)}.'
    shapes = (row.complexity.input_shape for row in rows if row.complexity)
    shapes = dict.fromkeys(' x '.join(map(str, shape)) for shape in shapes)
    yield f'Crops, channels, height and width as the networks get them: {", ".join(shapes)}.'
    precision = 'float32' if settings.amp is None else f'{settings.amp} by autocast'
    precision = precision.replace('torch.', '')
    if settings.amp is not None and any(row.is_yardstick for row in rows):
        precision += ', the yardsticks float32'
    yield (
        f'{precision}; random weights; medians of {settings.repeats} rounds in which the networks '
        'took turns, ratios of the same round; spread: the width of the middle half.'
    )
    if TRAIN in settings.sections:
        yield 'A step is forward pass, losses, backward pass and optimizer.'
    yield (
        'Estimated memory is what the tensors take, weights included, without the workspace of '
        'kernels and the gaps of an allocator.'
    )
    if rows[-1].name == BARE:
        yield (
            f"{BARE}: the encoder's blocks as mmpretrain has them on both images as one batch; in "
            'training back to the tokens before the first block.'
        )
        yield (
            f'{COMPOSITION}: the same weights, each stream through the blocks by itself, the '
            'equations of CPIA one after another.'
        )
    if any(row.paper in COSTS for row in rows):
        yield "The paper's values are of one RTX 4090."
