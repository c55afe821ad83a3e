"""How much a model owes to each modality: its metrics with both, with a part, with one alone."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from prettytable import PrettyTable
from torch.utils.data import Dataset

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import parts
from mobanet_mmseg.engine.aux_gain_hook import idle_modality
from mobanet_mmseg.engine.label_hooks import has_labels
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.models.degradation import BLOCK, Degradation, Degrader, install_degrader
from mobanet_mmseg.models.tiled import segmentor_of
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.windows import chunks, read_window
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.weights.checkpoints import check_fit, read_checkpoint
from mobanet_mmseg.weights.fingerprints import with_origin
from mobanet_mmseg.writing import read_text, write_text

MODALITIES = ('both', 'rgb', 'aux')
ALONE = MODALITIES[1:]

Metrics = dict[str, float]
Measure = Callable[[str, str], Metrics]  # of what stays, and what the log says of it


@dataclass(frozen=True)
class ModalityReport:
    """What a test set says of a model and its modalities.

    Args:
        metrics: What the evaluator gives, by ``'both'``, ``'rgb'`` and ``'aux'``, which stay.
        absent: The same while per cent of the area, by which it goes, lack the auxiliary image.
        bounds: The same of a network trained on ``'rgb'`` or ``'aux'`` alone.
        without_aux: Per cent of the area for which the files hold no auxiliary data; None where
            that is not known.
    """

    metrics: dict[str, Metrics]
    absent: dict[float, Metrics] = field(default_factory=dict)
    bounds: dict[str, Metrics] = field(default_factory=dict)
    without_aux: float | None = None

    @property
    def drops(self) -> dict[str, Metrics]:
        """Points of each modality alone below both together; negative is above."""
        return {
            modality: {
                name: round(value - self.metrics[modality][name], 4)
                for name, value in self.metrics['both'].items()
            }
            for modality in ALONE
        }

    @property
    def kept(self) -> dict[str, Metrics]:
        """Per cent of each bound that the model keeps without the other modality."""
        return {
            modality: {
                name: round(100 * self.metrics[modality][name] / value, 2)
                for name, value in bound.items()
                if value > 0 and name in self.metrics[modality]
            }
            for modality, bound in self.bounds.items()
        }

    @property
    def warnings(self) -> list[str]:
        """A sentence for each modality that the model is no better with than without."""
        both = self.metrics['both']
        said = (idle_modality(both, self.metrics[kept], kept) for kept in ALONE)
        return [sentence for sentence in said if sentence is not None]

    def table(self) -> PrettyTable:
        """Lay out the metrics of both, rgb and aux, how far the last two drop, and the bounds."""
        header = ['metric', 'both']
        columns = [self.metrics['both']]
        for number, modality in enumerate(ALONE):  # a column's name is there once
            header += [f'{modality} alone', 'drop' + ' ' * number]
            columns += [self.metrics[modality], self.drops[modality]]
            if modality in self.bounds:
                header += [f'{modality} bound', '% of it' + ' ' * number]
                columns += [self.bounds[modality], self.kept[modality]]
        return _lay_out(header, columns)

    def absence_table(self) -> PrettyTable:
        """Lay out the metrics while a part of the area lacks the auxiliary image."""
        absent = {0.0: self.metrics['both'], **self.absent, 100.0: self.metrics['rgb']}
        shares = sorted(absent)
        header = ['aux absent in', *(f'{share:g} %' for share in shares)]
        return _lay_out(header, [absent[share] for share in shares])

    def write(self, path: str | Path) -> None:
        """Write all numbers as JSON, ``null`` where there is none.

        Args:
            path: Output path; missing folders are made.

        Raises:
            OSError: If the file cannot be written.
        """
        tables = {'metrics': self.metrics, 'drops': self.drops}
        if self.absent:
            tables['aux_absent'] = {f'{share:g}': row for share, row in self.absent.items()}
        if self.bounds:
            tables |= {'bounds': self.bounds, 'percent_of_bounds': self.kept}
        report = {
            key: {modality: _in_json(metrics) for modality, metrics in rows.items()}
            for key, rows in tables.items()
        }
        report['percent_without_aux'] = self.without_aux
        write_text(path, json.dumps(report, indent=1) + '\n')


def _in_json(metrics: Metrics) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _lay_out(header: list[str], columns: list[Metrics]) -> PrettyTable:
    table = PrettyTable(header, align='r')
    table.align[header[0]] = 'l'
    for name in columns[0]:
        values = [column.get(name) for column in columns]
        table.add_row([name, *('' if value is None else f'{value:.2f}' for value in values)])
    return table


@contextmanager
def _measuring(runner: Runner) -> Iterator[Measure]:
    """Load a runner's checkpoint, and give what measures it; then the model is as it was."""
    channels = modality_channels_of(runner.test_loop.dataloader.dataset)
    before = select_modality(runner.model, 'aux', channels)  # a model without it says so at once
    if not has_labels(runner):
        raise ValueError(
            'The test set has no labels (seg_map_path) to measure against: give it its labels.'
        )

    def measure(modality: str, said: str) -> Metrics:
        select_modality(runner.model, modality)
        runner.logger.info(f'the network gets: {said}')
        return {name: float(value) for name, value in runner.test_loop.run().items()}

    runner.call_hook('before_run')
    runner.load_or_resume()
    try:
        yield measure
    finally:
        select_modality(runner.model, before)
    runner.call_hook('after_run')


def _install_degrader(runner: Runner, block: int) -> Degrader:
    """Let the model see its auxiliary image degraded."""
    if block < 1:
        raise ValueError(f'Got blocks of {block} pixels: give their side, 1 at least.')
    channels = modality_channels_of(runner.test_loop.dataloader.dataset)
    if channels is None:
        raise ValueError(
            'The test set is not of MultimodalSegDatasets with equal bands, which say where the '
            'auxiliary image is in a sample: leave --aux-absent out.'
        )
    degrader = Degrader(channels, block=block)
    install_degrader(runner.model, degrader)
    return degrader


def measure_modalities(
    runner: Runner,
    absent: Sequence[float] = (),
    bounds: Mapping[str, str | Path] | None = None,
    block: int = BLOCK,
) -> ModalityReport:
    """Measure a runner's checkpoint on its test set with both modalities, and with less.

    Model and data are set up once; afterwards the model gets what it got before, and has the
    weights of the last checkpoint that was measured.

    Args:
        runner: Built for a test; its config says which checkpoint.
        absent: Per cent of the area that lack the auxiliary image, each measured.
        bounds: By ``'rgb'`` and ``'aux'``, a checkpoint of the same network that was trained on
            that modality alone, or a JSON of its metrics.
        block: Side of the blocks that lack it, pixels.

    Raises:
        CheckpointError: If the checkpoint of a bound is none, or is of another network.
        FileNotFoundError: If the file of a bound does not exist.
        ValueError: If there are no labels, the model does not know of modalities, or a share, a
            block or a bound is none.
    """
    masks = {share: _mask(share) for share in sorted(set(absent))}
    bounds = dict(bounds or {})
    told = {modality: _read_bound(runner, path, modality) for modality, path in bounds.items()}
    degrader = _install_degrader(runner, block) if masks else None
    with _measuring(runner) as measure:
        metrics = {modality: measure(modality, modality) for modality in MODALITIES}
        dataset = runner.test_loop.dataloader.dataset
        without = percent_without_aux(dataset) if is_main_process() else None
        report = ModalityReport(metrics, without_aux=without)
        for share, mask in masks.items():
            degrader.degradation = mask
            report.absent[share] = measure('both', f'both, aux absent in {share:g} %')
            degrader.degradation = None
        for modality, path in bounds.items():
            if told[modality] is None:
                _load_bound(runner, path)
                told[modality] = measure(modality, f'{modality}, with the weights of {path}')
            report.bounds[modality] = told[modality]
    return report


def _mask(share: float) -> Degradation:
    if not 0 < share < 100:
        raise ValueError(
            f'--aux-absent got {share:g}: give per cent of the area above 0 and below 100, which '
            'are measured anyway.'
        )
    return Degradation('mask', 'aux', share / 100)


def _read_bound(runner: Runner, path: str | Path, modality: str) -> Metrics | None:
    """Read the metrics of a network of one modality; None if the file is its checkpoint."""
    if Path(path).suffix != '.json':
        content = with_origin(read_checkpoint(path), path)
        advice = 'measure that network by its own config, and give the JSON that it writes'
        check_fit(path, content, segmentor_of(runner.model), advice)
        return None
    advice = 'give what modality_report.py --out or tools/test.py wrote of that network'
    try:
        content = json.loads(read_text(path))
        rows = content.get('metrics', content)
        row = rows.get(modality, rows.get('both', rows))  # one that sees a modality alone has both
        found = {name: float(value) for name, value in row.items() if value is not None}
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} holds no metrics ({error}): {advice}.') from error
    if not found:
        raise ValueError(f'{path} holds no metrics: {advice}.')
    return found


def _load_bound(runner: Runner, path: str | Path) -> None:
    content = with_origin(read_checkpoint(path), path)
    segmentor_of(runner.model).load_state_dict(content['state_dict'])


def percent_without_aux(dataset: Dataset) -> float | None:
    """Measure for how much of the area the files of a dataset hold no auxiliary data.

    Args:
        dataset: A ``MultimodalSegDataset``, or several that are joined or repeated.

    Returns:
        Per cent of the pixels, a tile without an auxiliary raster included; None for datasets of
        other kinds, or without an auxiliary modality.

    Raises:
        ValueError: If a raster is damaged.
    """
    missing = area = 0
    for part in parts(dataset):
        if not isinstance(part, MultimodalSegDataset) or not part.aux_bands:
            return None
        for index in range(len(part)):
            tile = part.get_data_info(index)
            shape = tile['height'], tile['width']
            area += math.prod(shape)
            missing += _count_missing(tile.get('aux_path'), part.aux_bands, shape)
    return 100 * missing / area


def _count_missing(path: str | None, bands: Sequence[int], shape: tuple[int, int]) -> int:
    """Count the pixels for which some band of an auxiliary raster has no data."""
    if path is None:
        return math.prod(shape)
    missing = 0
    for rows in chunks(read_info(path)):
        height = min(rows.bottom, shape[0]) - rows.row  # it may be a row longer than the tile
        if height > 0:
            window = Window(rows.row, 0, height, shape[1])
            values = read_window(path, bands, window, shape, nodata_to_nan=True)
            missing += int(np.isnan(values).any(axis=-1).sum())
    return missing
