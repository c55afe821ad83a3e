"""How much a model owes to each modality: its metrics with both, and with one of them alone."""

import json
import math
from pathlib import Path

from mmengine.runner import Runner
from prettytable import PrettyTable

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.engine.label_hooks import has_labels
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.writing import write_text

MODALITIES = ('both', 'rgb', 'aux')

Metrics = dict[str, float]


def measure_modalities(runner: Runner) -> dict[str, Metrics]:
    """Measure a runner's checkpoint on its test set with both modalities, and with each alone.

    Model, weights and data are set up once; afterwards the model gets what it got before.

    Args:
        runner: Built for a test; its config says which checkpoint.

    Returns:
        What the evaluator gives, by ``'both'``, ``'rgb'`` and ``'aux'``.

    Raises:
        ValueError: If there are no labels, or the model does not know of modalities.
    """
    loop = runner.test_loop
    channels = modality_channels_of(loop.dataloader.dataset)
    before = select_modality(runner.model, 'aux', channels)  # a model without it says so at once
    measured = {}
    if not has_labels(runner):
        raise ValueError(
            'The test set has no labels (seg_map_path) to measure against: give it its labels.'
        )
    runner.call_hook('before_run')
    runner.load_or_resume()
    try:
        for modality in MODALITIES:
            select_modality(runner.model, modality)
            runner.logger.info(f'the network gets: {modality}')
            measured[modality] = {name: float(value) for name, value in loop.run().items()}
    finally:
        select_modality(runner.model, before)
    runner.call_hook('after_run')
    return measured


def drops(measured: dict[str, Metrics]) -> dict[str, Metrics]:
    """Say how many points each modality alone lies below both together; negative is above.

    Args:
        measured: What :func:`measure_modalities` gives.

    Returns:
        The points of each metric by ``'rgb'`` and ``'aux'``.
    """
    return {
        modality: {
            name: round(value - measured[modality][name], 4)
            for name, value in measured['both'].items()
        }
        for modality in MODALITIES[1:]
    }


def report_table(measured: dict[str, Metrics]) -> PrettyTable:
    """Lay out the metrics of both, rgb and aux, and how far the last two drop.

    Args:
        measured: What :func:`measure_modalities` gives.
    """
    table = PrettyTable(['metric', 'both', 'rgb alone', 'drop', 'aux alone', 'drop '], align='r')
    table.align['metric'] = 'l'
    dropped = drops(measured)
    for name, value in measured['both'].items():
        row = [value]
        for modality in MODALITIES[1:]:
            row += [measured[modality][name], dropped[modality][name]]
        table.add_row([name, *(f'{number:.2f}' for number in row)])
    return table


def write_report(path: str | Path, measured: dict[str, Metrics]) -> None:
    """Write the metrics and the drops as JSON, ``null`` where there is no number.

    Args:
        path: Output path; missing folders are made.
        measured: What :func:`measure_modalities` gives.

    Raises:
        OSError: If the file cannot be written.
    """
    report = {
        key: {
            modality: {name: value if math.isfinite(value) else None for name, value in row.items()}
            for modality, row in rows.items()
        }
        for key, rows in (('metrics', measured), ('drops', drops(measured)))
    }
    write_text(path, json.dumps(report, indent=1) + '\n')
