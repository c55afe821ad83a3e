"""Makes the runs of a study, writes the cities that it needs, and works the runs off."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.experiments.runs import Outcome, Run, run_all
from mobanet_mmseg.experiments.study import CITY, Cell, Data, Study
from mobanet_mmseg.synthetic import write_archive

REPEATS = 5  # forward passes that are timed; a study has no table of latencies


@dataclass(frozen=True)
class Part:
    """A cell on a data set, and what its runs have measured.

    Args:
        data: The data set.
        cell: The cell.
        runs: One a seed.
        results: Their numbers, by seed, of those that are done.
        failures: Why runs have failed, by seed.
    """

    data: Data
    cell: Cell
    runs: list[Run]
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """What a table says of it besides its numbers: nothing if all runs are done."""
        if self.failures:
            return f'{len(self.failures)} failed'
        if len(self.results) == len(self.runs):
            return ''
        return 'partial' if self.results else 'not run'


def config_of(study: Study, cell: Cell, data: Data) -> Config:
    """Make the config of a cell on a data set.

    Args:
        study: Of both.
        cell: The cell.
        data: The data set.

    Raises:
        ValueError: If an option does not fit the config, or the model knows no modalities.
    """
    config = deepcopy(_read_config(cell.config or study.config))
    if data.config is not None:
        _replace_data(config, Config.fromfile(data.config))
    for options in (study.options, data.options, cell.options):
        try:
            config.merge_from_dict(dict(options))
        except (TypeError, KeyError, IndexError) as error:
            raise ValueError(
                f'The options of {cell.key} on {data.key} do not fit {config.filename}: {error}'
            ) from error
    if data.city is not None:
        for split, names in city_tiles(data).items():
            config[f'{split}_dataloader'].dataset.update(data_root=data.city['root'], tiles=names)
    if cell.modality is not None:
        _set_modality(config, cell)
    return config


def plan(study: Study, place: Path) -> list[Part]:
    """Make the runs of all cells on all data sets.

    Args:
        study: All that is run.
        place: Folder of the runs: ``<place>/<data set>/<cell>/seed_<seed>``.

    Raises:
        ValueError: See :func:`config_of`.
    """
    parts = []
    for data in study.datasets.values():
        for cell in study.cells_of(data):
            config, name = config_of(study, cell, data), f'{data.key}/{cell.key}'
            runs = [
                Run.of(name, config, seed, place / name / f'seed_{seed}', cell.modalities)
                for seed in study.seeds
            ]
            parts.append(Part(data, cell, runs))
    return parts


def read_results(parts: Sequence[Part]) -> None:
    """Note the numbers of the runs that are done.

    Args:
        parts: Where they are noted.
    """
    for part in parts:
        kept = {run.seed: run.kept() for run in part.runs}
        part.results.update({seed: found for seed, found in kept.items() if found is not None})


def work_off(
    parts: Sequence[Part], cells: Sequence[str] | None, place: Path, workers: int, jobs: int
) -> Iterator[Outcome]:
    """Work off runs, all parts' first seeds before any second one.

    Args:
        parts: What has become of their runs is noted in them.
        cells: Which ones are run, by key; None is all.
        place: See :func:`mobanet_mmseg.experiments.runs.run_all`.
        workers: Likewise.
        jobs: Likewise.

    Yields:
        What has become of each run.
    """
    asked = [part for part in parts if cells is None or part.cell.key in cells]
    runs = [
        run for same_seed in zip(*(part.runs for part in asked), strict=True) for run in same_seed
    ]
    owners = {run.folder: part for part in asked for run in part.runs}
    for outcome in run_all(runs, place, workers, REPEATS, jobs):
        part, seed = owners[outcome.run.folder], outcome.run.seed
        if outcome.result is None:
            part.failures[seed] = outcome.failure
        else:
            part.results[seed] = outcome.result
        yield outcome


def write_cities(study: Study) -> Iterator[Path]:
    """Write the cities that are missing, or whose writing was stopped.

    Args:
        study: Whose.

    Yields:
        The folder of each that is written now, before it is.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If there can be no such city.
    """
    for data in study.datasets.values():
        if data.city is None:
            continue
        root, tiles = Path(data.city['root']), city_tiles(data)
        names = [*tiles['train'], *tiles['test']]
        labels = ISPRSPotsdamDataset.LABELS['eroded']  # a tile's last file
        last = root / labels.folders[0] / labels.name.format(tile=names[-1])
        if last.is_file():
            continue
        yield root
        settings = {**CITY, **data.city}
        keys = ('size', 'gsd', 'seed', 'ambiguity')
        write_archive(root, names, **{key: settings[key] for key in keys})


def city_tiles(data: Data) -> dict[str, list[str]]:
    """Name the tiles of a city by split.

    Args:
        data: With a city.

    Raises:
        ValueError: If an archive has not so many.
    """
    found = {}
    for split, names in (
        ('train', ISPRSPotsdamDataset.TRAIN_TILES),
        ('test', ISPRSPotsdamDataset.TEST_TILES),
    ):
        count = {**CITY, **data.city}[split]
        if not 1 <= count <= len(names):
            raise ValueError(
                f'The city of {data.key} has {split}={count}; there are {len(names)} such tiles.'
            )
        found[split] = list(names[:count])
    return found


@cache
def _read_config(path: Path) -> Config:
    """Read a config once for all its cells, which change a copy."""
    return Config.fromfile(path)


def _replace_data(config: Config, other: Config) -> None:
    """Put the data sets and metrics of a config into another one, whose heads get its classes."""
    config.pop('split', None)  # of the data that leave
    if 'split' in other:
        config.split = other.split
    for split in ('train', 'val', 'test'):
        if config.get(f'{split}_dataloader') and f'{split}_dataloader' in other:
            config[f'{split}_dataloader'].dataset = other[f'{split}_dataloader'].dataset
        if f'{split}_evaluator' in other:
            config[f'{split}_evaluator'] = other[f'{split}_evaluator']
    if 'num_classes' in other:
        for name in ('decode_head', 'auxiliary_head'):
            heads = config.model.get(name) or []
            for head in heads if isinstance(heads, list) else [heads]:
                head.num_classes = other.num_classes


def _set_modality(config: Config, cell: Cell) -> None:
    """Let a network be trained on one modality alone."""
    preprocessor = config.model.data_preprocessor
    if preprocessor.type == 'MultimodalDataPreProcessor':
        preprocessor.modality = cell.modality
        return
    dataset = config.train_dataloader.dataset
    prefix = dataset.get('data_prefix') or {}
    optical = dataset.get('height', '') is None or prefix.get('aux_path', '') is None
    if cell.modality != 'rgb' or not optical:
        raise ValueError(
            f'{config.filename} normalises by {preprocessor.type}, which cannot leave a modality '
            f'out: give the cell {cell.key} a config that reads the one alone.'
        )
