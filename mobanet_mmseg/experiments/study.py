"""Reads a study: cells, which are networks as they are trained, data sets, and seeds.

A study is a Python file, read as a config is (``_base_`` and all):

    title, config, seeds, options   what all cells have in common; config is that of the full model
    cells                           by key, see Cell
    datasets                        by key, see Data
    tables                          which cells the tables are of, see Tables

Options are laid over a config as --cfg-options are: those of all, of the data set, of the cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mobanet_mmseg.configs import find_config
from mobanet_mmseg.experiments.paper import COMPONENTS

MODALITIES = ('both', 'rgb', 'aux')
CITY = {'size': 512, 'gsd': 0.12, 'seed': 0, 'ambiguity': 1.0, 'train': 24, 'test': 14}


@dataclass(frozen=True)
class Cell:
    """A network as it is trained.

    Args:
        key: Names it in the study and in paths.
        title: Its name in the tables.
        config: Of the network; None is that of the study.
        options: What is set in it.
        modality: ``'rgb'`` or ``'aux'``, which it is trained on alone and tested with: a bound for
            the others; None is both, tested with both and with either.
        paper: Its row in the paper's Table IV.
    """

    key: str
    title: str = ''
    config: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    modality: str | None = None
    paper: str = ''

    def __post_init__(self) -> None:
        """Refuse a modality and a row of the paper that there are not."""
        if self.modality not in (None, *MODALITIES[1:]):
            raise ValueError(
                f"The cell {self.key} has modality={self.modality!r}: 'rgb' or 'aux' trains it on "
                'that alone; leave it out for both.'
            )
        if self.paper and (self.paper,) not in COMPONENTS:
            rows = ', '.join(repr(name) for (name,) in COMPONENTS)
            raise ValueError(f'The cell {self.key} has paper={self.paper!r}: give one of {rows}.')

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it gets in its tests."""
        return MODALITIES if self.modality is None else (self.modality,)


@dataclass(frozen=True)
class Data:
    """What the cells are trained and tested on.

    Args:
        key: Names it in the study and in paths.
        title: Its name in the tables.
        config: Whose data sets and metrics take the place of the cells' own; None leaves them.
        options: What is set in each cell.
        city: A synthetic city, which is written where it is missing: its ``root``, and what is
            other than in ``CITY``, with the number of ``train`` and ``test`` tiles; None is none.
        cells: Which ones are run, by key; none given is all.
    """

    key: str
    title: str = ''
    config: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    city: Mapping[str, Any] | None = None
    cells: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Refuse a city without a place, or of what no city has."""
        if self.city is not None:
            _check_keys(self.city, {'root', *CITY}, f'The city of {self.key} has')
            if 'root' not in self.city:
                raise ValueError(f'The city of {self.key} has no root: give it a folder.')


@dataclass(frozen=True)
class Tables:
    """Which cells the tables are of, by key; one without cells is left out.

    Args:
        components: Of Table IV, each beside the one before it.
        robustness: Of Table V, each beside the last.
        masks: Of the parts of MCRM, each beside the first.
    """

    components: Sequence[str] = ()
    robustness: Sequence[str] = ()
    masks: Sequence[str] = ()


@dataclass(frozen=True)
class Study:
    """All that is run.

    Args:
        path: Its file.
        title: Of the tables.
        config: Of the cells that name none.
        seeds: One run a cell and data set for each.
        options: What is set in all cells.
        cells: By key.
        datasets: By key.
        tables: See :class:`Tables`.
    """

    path: Path
    title: str
    config: Path | None
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    cells: Mapping[str, Cell]
    datasets: Mapping[str, Data]
    tables: Tables

    @classmethod
    def read(cls, path: Path) -> 'Study':
        """Read a study.

        Args:
            path: Its file, or the name of one of the package's, such as ``studies/city.py``.

        Raises:
            FileNotFoundError: If it, or a config that it names, is missing.
            ValueError: If it says what no study has, or lacks what each one has.
        """
        path = find_config(path)
        given = Config.fromfile(path).to_dict()
        known = {each.name for each in fields(cls)} - {'path'}
        _check_keys(given, known, f'{path} has')
        absent = sorted({'cells', 'datasets'} - {name for name, value in given.items() if value})
        if absent:
            raise ValueError(f'{path} has no {absent[0]}: configs/studies shows what a study is.')
        study = cls(
            path,
            str(given.get('title', path.stem)),
            _find_config(given.get('config'), path, 'The study'),
            tuple(dict.fromkeys(given.get('seeds', (42,)))),
            given.get('options', {}),
            {key: _make(Cell, key, each, path) for key, each in given['cells'].items()},
            {key: _make(Data, key, each, path) for key, each in given['datasets'].items()},
            _tables(given.get('tables', {}), path),
        )
        study.check()
        return study

    def check(self) -> None:
        """Refuse what cannot be run.

        Raises:
            ValueError: If there is no seed, a cell has no config, or one is named that there is
                not.
        """
        if not self.seeds or not all(isinstance(seed, int) and seed >= 0 for seed in self.seeds):
            raise ValueError(f'{self.path} has seeds={self.seeds}: give numbers from 0.')
        for cell in self.cells.values():
            if cell.config is None and self.config is None:
                raise ValueError(f'{self.path} has no config, nor has its cell {cell.key}.')
        named = {f'The data set {each.key}': each.cells for each in self.datasets.values()}
        named |= {f'tables.{each.name}': getattr(self.tables, each.name) for each in fields(Tables)}
        for who, keys in named.items():
            unknown = [key for key in keys if key not in self.cells]
            if unknown:
                raise ValueError(
                    f'{who} names the cell {unknown[0]}, which the study has not: choose of '
                    f'{", ".join(self.cells)}.'
                )

    def cells_of(self, data: Data) -> list[Cell]:
        """Give the cells that are run on a data set, in the order of the study.

        Args:
            data: One of the study's.
        """
        return [cell for key, cell in self.cells.items() if key in data.cells or not data.cells]


def _tables(given: Mapping[str, Any], path: Path) -> Tables:
    """Make the tables; the lists of a config are fine."""
    _check_keys(given, {each.name for each in fields(Tables)}, f'tables of {path} has')
    return Tables(**{name: tuple(keys) for name, keys in given.items()})


def _make(kind: type, key: str, given: Mapping[str, Any], path: Path) -> Any:
    """Make a cell or a data set of what the study says of it."""
    who = f'{path}: {key}'
    known = {each.name for each in fields(kind)} - {'key'}
    _check_keys(given, known, f'{who} has')
    config = _find_config(given.get('config'), path, who)
    return kind(**{'title': key, **given, 'key': key, 'config': config})


def _find_config(name: str | None, path: Path, who: str) -> Path | None:
    """Find a config that a study names: from its folder, the working directory or the package."""
    if name is None:
        return None
    beside = path.parent / name
    try:
        return beside if beside.is_file() else find_config(name)
    except FileNotFoundError:
        raise FileNotFoundError(
            f'{who} names the config {name}, which is neither at {beside} nor at '
            f'{Path(name).absolute()} nor one of the package.'
        ) from None


def _check_keys(given: Mapping[str, Any], known: set[str], who: str) -> None:
    """Refuse a setting that there is not: it would do nothing, silently."""
    unknown = sorted(given.keys() - known)
    if unknown:
        raise ValueError(f'{who} {unknown[0]}, which is none of {", ".join(sorted(known))}.')
