"""The paper's Tables I-III of any rows, its values beside ours."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobanet_mmseg.experiments.paper import COLUMNS, COST_HEADER, COSTS, SCORES
from mobanet_mmseg.experiments.plots import Point, draw_points
from mobanet_mmseg.experiments.protocols import DATA, Protocol
from mobanet_mmseg.experiments.rows import Row
from mobanet_mmseg.experiments.tables import NOT_MEASURED, Table, gather
from mobanet_mmseg.visualization.pictures import save_picture
from mobanet_mmseg.writing import to_csv, write_text

MEANS = ('OA', 'mF1', 'mIoU', 'mIoU_all')
PAPERS_MEANS = ('OA', 'mF1', 'mIoU')
FILES = ('table.md', 'table.csv', 'table.json', 'table.png')
PAPERS_TILES = {'potsdam': (24, 14), 'vaihingen': (16, 17)}  # to train on, to test on
# where a number stands in a run's, the column, what it is divided by there, and its decimals
COST_COLUMNS = (
    (('cost', 'trainable'), 'trainable (M)', 1e6, 2),
    (('cost', 'total'), 'all (M)', 1e6, 2),
    (('cost', 'multiply_adds'), 'multiply-adds (G)', 1e9, 2),
    (('cost', 'latency_ms'), 'latency (ms)', 1, 2),
    (('cost', 'peak_memory_mib'), 'peak memory (MiB)', 1, 0),
    (('training', 'seconds_per_iteration'), 'training (s/iteration)', 1, 3),
    (('testing', 'seconds', 'both'), 'test (s)', 1, 1),
)


@dataclass(frozen=True)
class Report:
    """Rows under one protocol.

    Args:
        rows: In the order of the tables.
        protocol: What they have in common.
        seeds: Of the runs of each row.
        overrides: What was set besides, as it was typed.
    """

    rows: list[Row]
    protocol: Protocol
    seeds: Sequence[int]
    overrides: dict[str, Any]

    @property
    def results(self) -> list[dict[str, Any]]:
        """The numbers of all runs that are done."""
        return [result for row in self.rows for result in row.results]

    @property
    def title(self) -> str:
        """What the tables are of, in one line."""
        if self.protocol.data == 'city':
            lead = 'A demonstration of the tool, which ranks nothing'
        elif self.protocol.schedule is not None:
            lead = "A demonstration, not the paper's schedule"
        elif self.protocol.published:
            lead = 'The networks by their own published recipes'
        else:
            lead = 'Tables I-III of MoBaNet (arXiv:2603.17705), rerun'
        return f'{lead}: {", ".join(self._facts())}'

    def _facts(self) -> Iterator[str]:
        """Data, schedule, seeds, device, weights."""
        protocol = self.protocol
        yield DATA.get(protocol.data, 'rasters of our own')
        if protocol.schedule is not None:
            count, batch_size = protocol.schedule.iterations, protocol.schedule.batch_size
            yield f'{count} iterations of {batch_size} windows'
        else:
            yield 'own schedules' if protocol.published else "the paper's schedule"
        yield f'seed{"s" if len(self.seeds) > 1 else ""} {" ".join(map(str, self.seeds))}'
        devices = sorted({result['cost']['device'] for result in self.results})
        yield ' and '.join(devices) or 'no run yet'
        yield 'from scratch' if protocol.from_scratch else 'pretrained where a config names weights'

    def write(self, folder: Path) -> list[Path]:
        """Write the tables as Markdown, CSV and JSON, and the plot.

        Args:
            folder: Where to; older ones are replaced.

        Returns:
            The files.

        Raises:
            OSError: If one cannot be written.
        """
        markdown, records, numbers, picture = paths = [folder / name for name in FILES]
        write_text(markdown, self.markdown())
        write_text(records, to_csv([self._record(row) for row in self.rows]))
        write_text(numbers, json.dumps(self._numbers(), indent=1) + '\n')
        save_picture(picture, self.plot())
        return paths

    def markdown(self) -> str:
        """Lay out title, facts, tables, and what has not run."""
        notes = ''.join(f'- {note}\n' for note in self._notes())
        parts = [f'# {self.title}\n', notes, self.accuracy().markdown(), self.cost().markdown()]
        missing = [f'- {row.network.name}: {row.reason}.\n' for row in self.rows if row.reason]
        missing += [
            f'- {row.network.name}, seed {outcome.run.seed}, failed: {outcome.failure}\n'
            for row in self.rows
            for outcome in row.failures
        ]
        if missing:
            parts.append('## Not run\n\n' + ''.join(missing))
        return '\n'.join(parts)

    def _notes(self) -> Iterator[str]:
        """What has to be known beside the title."""
        protocol = self.protocol
        yield f'Data: {self._split()}.'
        window = protocol.window
        sides = f'{window} x {window} pixels' if window else 'as each config says'
        weights = 'pretrained where a config names a file'
        if protocol.from_scratch:
            weights = 'random, those of frozen encoders, too'
        yield f'Windows: {sides}; weights: {weights}.'
        if self.overrides:
            settings = ', '.join(f'{key}={value}' for key, value in self.overrides.items())
            yield f'Set besides, in all rows: {settings}.'
        yield from (f'Measured on: {machine}.' for machine in _unique(self.results, 'machine'))
        yield 'Mean and sample standard deviation over n seeds; the last checkpoint is tested.'
        if self._papers:
            yield (
                "The paper's values are of "
                f'{DATA[protocol.archive]}, its own training and an RTX 4090.'
            )

    def _split(self) -> str:
        """Name the split that all results are of."""
        name = DATA.get(self.protocol.data, 'rasters of our own')
        splits = {tuple(map(tuple, found['split'].values())) for found in self.results}
        if len(splits) != 1:
            return f'{name}, in {len(splits)} splits, which are not comparable' if splits else name
        train, test = map(len, splits.pop())
        named = f'{name}, {train} training and {test} test tiles'
        papers = PAPERS_TILES.get(self.protocol.data)
        return f"{named} (the paper's split: {papers[0]} and {papers[1]})" if papers else named

    @property
    def _papers(self) -> dict[str, dict[str, str]]:
        """The paper's scores of the archive, by row."""
        return SCORES.get(self.protocol.archive, {})

    @property
    def _classes(self) -> list[str]:
        """The classes that the means count, those of ISPRS where nothing has run."""
        if not self.results:
            return list(COLUMNS[:-3])
        found = self.results[0]
        return [name for name in found['classes'] if name not in found['excluded_classes']]

    def accuracy(self) -> Table:
        """Tables I and II: F1 of each class, the means, and the paper's means beside them."""
        keys = [*(f'F1.{name}' for name in self._classes), *MEANS]
        columns = (key.replace('_', ' ').replace('.', ' ') for key in keys)
        header = ['Method', 'Backbone', 'Input', *columns, 'n', 'state']
        header += [f"paper's {key}" for key in PAPERS_MEANS if self._papers]
        table = Table('Accuracy, per cent', tuple(header), [])
        for row in self.rows:
            scores = [gather(row.results, 'metrics', 'both', key).text() for key in keys]
            cells = [row.network.name, row.network.backbone, row.inputs, *scores]
            cells += [str(len(row.results)), row.state]
            papers = self._papers.get(row.network.paper, {})
            cells += [papers.get(key, '-') for key in PAPERS_MEANS if self._papers]
            table.rows.append(tuple(cells))
        return table

    def cost(self) -> Table:
        """Table III: parameters, multiply-adds, latency and memory, and the paper's."""
        header = ['Method', *(name for _, name, _, _ in COST_COLUMNS), 'FPS', 'crop']
        papers = self._papers
        header += [f"paper's {name}" for name in COST_HEADER if papers]
        table = Table('Cost', tuple(header), [])
        for row in self.rows:
            cells = [row.network.name]
            for path, _, unit, digits in COST_COLUMNS:
                found = gather(row.results, *path).scaled(1 / unit)
                cells.append(found.text(digits) if found.count or not row.results else NOT_MEASURED)
            latency = gather(row.results, 'cost', 'latency_ms')
            cells.append(f'{1000 / latency.mean:.2f}' if latency.count else '-')
            shapes = {' x '.join(map(str, found['cost']['input_shape'])) for found in row.results}
            cells.append(', '.join(sorted(shapes)) or '-')
            values = COSTS.get(row.network.paper, ('-',) * len(COST_HEADER))
            table.rows.append((*cells, *(values if papers else ())))
        return table

    def _record(self, row: Row) -> dict[str, Any]:
        """A row's numbers by column of the CSV."""
        network = row.network
        record: dict[str, Any] = {'key': network.key, 'method': network.name}
        record |= {'backbone': network.backbone, 'input': row.inputs, 'n': len(row.results)}
        record |= {'state': row.state, 'reason': row.reason}
        names = [f'{score}.{name}' for score in ('F1', 'IoU') for name in self._classes]
        for key in (*MEANS, *names):
            found = gather(row.results, 'metrics', 'both', key)
            record |= {f'{key}_mean': found.mean, f'{key}_sd': found.spread}
        for path, _, _, _ in COST_COLUMNS:
            found = gather(row.results, *path)
            name = 'test_seconds' if path[0] == 'testing' else path[-1]
            record |= {f'{name}_mean': found.mean, f'{name}_sd': found.spread}
        papers = self._papers.get(network.paper, {})
        return record | {f'paper_{key}': papers.get(key) for key in COLUMNS if self._papers}

    def _numbers(self) -> dict[str, Any]:
        """All that is known: what the tables are of, and each run's numbers but its tiles'."""
        rows = [
            {
                'key': row.network.key,
                'method': row.network.name,
                'reason': row.reason,
                'paper': self._papers.get(row.network.paper),
                'runs': [
                    {
                        'folder': str(outcome.run.folder),
                        'seed': outcome.run.seed,
                        'failure': outcome.failure,
                        **{k: v for k, v in (outcome.result or {}).items() if k != 'tiles'},
                    }
                    for outcome in row.outcomes
                ],
            }
            for row in self.rows
        ]
        settings = {**asdict(self.protocol), 'seeds': list(self.seeds), 'overrides': self.overrides}
        return {'title': self.title, 'settings': _plain(settings), 'rows': rows}

    def plot(self) -> np.ndarray:
        """Draw the mIoU of each row that has run against its trainable parameters and latency."""
        panels = {}
        for label, path, unit in (
            ('trainable parameters (M)', ('cost', 'trainable'), 1e6),
            ('latency (ms)', ('cost', 'latency_ms'), 1),
        ):
            panels[label] = [
                Point(
                    row.network.name,
                    gather(row.results, *path).mean / unit,
                    gather(row.results, 'metrics', 'both', 'mIoU'),
                    row.inputs,
                )
                for row in self.rows
                if row.results
            ]
        return draw_points(panels, 'mIoU (%)', self.title)


def _unique(results: Iterable[dict[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(result[key] for result in results))


def _plain(value: Any) -> Any:
    """What JSON takes; paths and the like as text."""
    return json.loads(json.dumps(value, default=str))
