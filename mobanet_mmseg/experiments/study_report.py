"""The tables of a study: the paper's IV and V, and MCRM taken apart, of what is done by now."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobanet_mmseg.experiments.contrasts import SCORE, Contrast, Contrasts, Term
from mobanet_mmseg.experiments.statistics import FEW_TILES, LEVEL, RESAMPLES, Summary
from mobanet_mmseg.experiments.study import MODALITIES, Data, Study
from mobanet_mmseg.experiments.study_plots import Line, draw_cells
from mobanet_mmseg.experiments.study_runs import Part
from mobanet_mmseg.experiments.study_tables import (
    INPUTS,
    components_table,
    masks_table,
    robustness_table,
    summary,
    trainable,
)
from mobanet_mmseg.experiments.tables import Table
from mobanet_mmseg.visualization.pictures import save_picture
from mobanet_mmseg.writing import to_csv, write_text

FILES = ('study.md', 'scores.csv', 'differences.csv', 'runs.csv', 'study.png')
MEANS = ('OA', 'mF1', 'mIoU', 'mIoU_all')


@dataclass(frozen=True)
class Difference:
    """One difference that a table shows.

    Args:
        table: Which table.
        part: What lies above, or below.
        against: The cell that it is compared with, and how.
        modality: What both get in the test.
        contrast: By how much.
    """

    table: str
    part: Part
    against: str
    modality: str
    contrast: Contrast

    def record(self) -> dict[str, Any]:
        """Give it by column of the CSV."""
        points, seeds, tiles, count = self.contrast
        return {
            'table': self.table,
            'dataset': self.part.data.key,
            'cell': self.part.cell.key,
            'against': self.against,
            'input': self.modality,
            'points': points,
            'seeds_low': seeds[0],
            'seeds_high': seeds[1],
            'tiles_low': tiles[0],
            'tiles_high': tiles[1],
            'n': count,
        }


@dataclass(frozen=True)
class StudyReport:
    """What a study has found by now.

    Args:
        study: What it is of.
        parts: Its cells on its data sets.
        contrasts: Keeps what is costly from one report to the next.
    """

    study: Study
    parts: Sequence[Part]
    contrasts: Contrasts = field(default_factory=Contrasts)

    @property
    def title(self) -> str:
        """What the tables are of, in one line."""
        done = sum(len(part.results) for part in self.parts)
        count = sum(len(part.runs) for part in self.parts)
        seeds = _many(len(self.study.seeds), 'seed')
        all_of = _many(count, 'run')
        runs = all_of if done == count else f'PARTIAL: {done} of {all_of} done'
        return f'{self.study.title}; {seeds}; {runs}'

    def write(self, folder: Path) -> list[Path]:
        """Write the tables as Markdown, all numbers as CSV, and the plot.

        Args:
            folder: Where to; older ones are replaced.

        Returns:
            The files.

        Raises:
            OSError: If one cannot be written.
        """
        markdown, scores, differences, runs, picture = paths = [folder / name for name in FILES]
        found = [each for data in self.study.datasets.values() for each in self._differences(data)]
        write_text(markdown, self.markdown(found))
        write_text(scores, to_csv([*self._scores()]))
        write_text(differences, to_csv([each.record() for each in found]))
        write_text(runs, to_csv([*self._runs()]))
        lines, bounds = {}, {}
        for data in self.study.datasets.values():
            lines[data.title] = [
                Line(part.cell.title, {key: summary(part, key) for key in MODALITIES})
                for part in self._parts(data).values()
                if part.cell.modality is None
            ]
            bounds[data.title] = self._bounds(data)
        save_picture(picture, draw_cells(lines, bounds, f'{SCORE} (%)', self.title))
        return paths

    def markdown(self, differences: Sequence[Difference]) -> str:
        """Lay out title, notes, the tables of each data set, and what has failed.

        Args:
            differences: What the tables show.
        """
        notes = ''.join(f'- {note}\n' for note in self._notes())
        sections = [f'# {self.title}\n', notes]
        for data in self.study.datasets.values():
            own = [each for each in differences if each.part.data is data]
            tables = [self._overview(data), *self._tables(data, own)]
            sections += [table.markdown() for table in tables if table.rows]
        failed = [
            f'- {part.data.key}/{part.cell.key}, seed {seed}: {why}\n'
            for part in self.parts
            for seed, why in part.failures.items()
        ]
        if failed:
            sections.append('## Failed\n\n' + ''.join(failed))
        return '\n'.join(sections)

    def _notes(self) -> Iterator[str]:
        """What has to be known beside the title."""
        results = [result for part in self.parts for result in part.results.values()]
        for data in self.study.datasets.values():
            own = [found for part in self._parts(data).values() for found in part.results.values()]
            for train, test in _unique(
                (len(f['split']['train']), len(f['split']['test'])) for f in own
            ):
                few = ': few, so that the interval over tiles is of little worth'
                yield (
                    f'{data.title}: {train} training and {test} test tiles'
                    f'{few if test < FEW_TILES else ""}.'
                )
        seconds = Summary.of(_seconds(found) for found in results)
        if seconds.count:
            trained = ', '.join(map(str, _unique(f['training']['iterations'] for f in results)))
            yield (
                f'A run has {trained} iterations and takes {seconds.text(0)} s, tests included; '
                f'one after another, the {_many(len(results), "run")} would take '
                f'{seconds.mean * len(results) / 3600:.1f} h.'
            )
        yield from (
            f'Measured on: {machine}.' for machine in _unique(f['machine'] for f in results)
        )
        yield (
            'Mean ± sample standard deviation over seeds, per cent, of the last checkpoint; mIoU '
            'and mF1 leave out the classes that the metric excludes.'
        )
        yield (
            'A modality that is left out is 0 after normalisation. Differences are in points of '
            f"{SCORE}, between runs of the same seed. The interval over seeds is by Student's t: "
            'other trainings, the same tiles; the one over tiles holds '
            f'{LEVEL} % of {RESAMPLES:,} draws of as many test tiles: other tiles, the same '
            'trainings. An interval that holds 0 shows no difference.'
        )
        if any(part.cell.paper for part in self.parts):
            yield (
                "The paper's values are of ISPRS Potsdam and DINOv2 ViT-B, one run each: comparable"
                ' where this study is of the same data and model, and else by their order alone. '
                'Its Table V has another value without MCRM (87.26) than its Table IV (87.15).'
            )

    def _parts(self, data: Data) -> dict[str, Part]:
        """The cells of a data set, by key."""
        return {part.cell.key: part for part in self.parts if part.data is data}

    def _bounds(self, data: Data) -> dict[str, float]:
        """What the best network that is trained on one modality alone reaches, by modality."""
        found: dict[str, float] = {}
        for part in self._parts(data).values():
            modality = part.cell.modality
            if modality is not None and part.results:
                found[modality] = max(found.get(modality, 0.0), summary(part, modality).mean)
        return found

    def _differences(self, data: Data) -> Iterator[Difference]:
        """All differences that the tables of a data set show."""
        parts, tables = self._parts(data), self.study.tables
        components = [parts[key] for key in tables.components if key in parts]
        for part, before in zip(components[1:], components, strict=False):
            terms = Term(1, part, 'both'), Term(-1, before, 'both')
            yield self._difference('components', part, before.cell.key, 'both', terms)
        robust = [parts[key] for key in tables.robustness if key in parts]
        for part in robust:
            for modality in MODALITIES[1:]:
                drop = Term(1, part, modality), Term(-1, part, 'both')
                yield self._difference('robustness', part, 'both', modality, drop)
                if part is not robust[-1]:
                    last = robust[-1]
                    other = Term(-1, last, modality), Term(1, last, 'both')
                    against = f'drop of {last.cell.key}'
                    yield self._difference('robustness', part, against, modality, (*drop, *other))
        masks = [parts[key] for key in tables.masks if key in parts]
        for part in masks[1:]:
            for modality in MODALITIES:
                terms = Term(1, part, modality), Term(-1, masks[0], modality)
                yield self._difference('masks', part, masks[0].cell.key, modality, terms)

    def _difference(
        self, table: str, part: Part, against: str, modality: str, terms: Sequence[Term]
    ) -> Difference:
        return Difference(table, part, against, modality, self.contrasts.of(terms))

    def _overview(self, data: Data) -> Table:
        """Each cell's mIoU by what it gets, and how much that is of what one modality can give."""
        bounds = self._bounds(data)
        header = ['Cell', 'trainable (M)', *INPUTS.values()]
        header += [f'of the {modality} bound' for modality in bounds]
        table = Table(f'{data.title}: {SCORE}', (*header, 'n', 'state'), [])
        for part in self._parts(data).values():
            scores = {modality: summary(part, modality) for modality in MODALITIES}
            cells = [part.cell.title, trainable(part), *(each.text() for each in scores.values())]
            for modality, bound in bounds.items():
                own = scores[modality]
                cells.append(f'{100 * own.mean / bound:.1f} %' if own.count and bound else '-')
            table.rows.append((*cells, str(len(part.results)), part.state))
        return table

    def _tables(self, data: Data, differences: Sequence[Difference]) -> Iterator[Table]:
        """The tables of differences of a data set."""
        parts, tables = self._parts(data), self.study.tables
        found = {
            (each.table, each.part.cell.key, each.against, each.modality): each.contrast.text
            for each in differences
        }
        for make, keys in (
            (components_table, tables.components),
            (robustness_table, tables.robustness),
            (masks_table, tables.masks),
        ):
            yield make(data.title, [parts[key] for key in keys if key in parts], found)

    def _scores(self) -> Iterator[dict[str, Any]]:
        """Means over seeds, one record a cell and input."""
        for part in self.parts:
            for modality in part.cell.modalities:
                record = _named(part) | {'input': modality, 'n': len(part.results)}
                for key in _score_names(part):
                    found = summary(part, modality, key)
                    record |= {f'{key}_mean': found.mean, f'{key}_sd': found.spread}
                yield record

    def _runs(self) -> Iterator[dict[str, Any]]:
        """One record a run and input."""
        for part in self.parts:
            for run in part.runs:
                result = part.results.get(run.seed)
                for modality in part.cell.modalities if result else ():
                    yield {
                        **_named(part),
                        'seed': run.seed,
                        'input': modality,
                        'seconds': _seconds(result),
                        **result['metrics'][modality],
                    }


def _named(part: Part) -> dict[str, Any]:
    """What names a cell in the CSVs."""
    return {'dataset': part.data.key, 'cell': part.cell.key, 'title': part.cell.title}


def _score_names(part: Part) -> list[str]:
    """The scores of a cell, in the order of its runs."""
    results = [*part.results.values()]
    return [*next(iter(results[0]['metrics'].values()))] if results else [*MEANS]


def _seconds(result: dict[str, Any]) -> float:
    """What a run took, its tests included; nan of one that was resumed."""
    training = result['training']
    if training['iterations_timed'] != training['iterations']:
        return math.nan
    return training['seconds_timed'] + sum(result['testing']['seconds'].values())


def _many(count: int, what: str) -> str:
    return f'{count} {what}' if count == 1 else f'{count} {what}s'


def _unique(values: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(values))
