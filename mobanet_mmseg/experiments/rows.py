"""The rows of a table and their runs, one a seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mobanet_mmseg.experiments.networks import BOTH, OPTICAL, Network
from mobanet_mmseg.experiments.protocols import Protocol
from mobanet_mmseg.experiments.runs import Outcome, Run, run_all


@dataclass
class Row:
    """One network and what its runs have measured.

    Args:
        network: The network.
        runs: Its runs, one a seed; none if it cannot run.
        reason: Why it has no run.
        outcomes: Of the runs that are over.
    """

    network: Network
    runs: list[Run] = field(default_factory=list)
    reason: str = ''
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def results(self) -> list[dict[str, Any]]:
        """The numbers of the runs that are done."""
        return [outcome.result for outcome in self.outcomes if outcome.result is not None]

    @property
    def failures(self) -> list[Outcome]:
        """The runs that have failed."""
        return [outcome for outcome in self.outcomes if outcome.result is None]

    @property
    def state(self) -> str:
        """What a table says of the row besides its numbers: nothing if all its runs are done."""
        if self.failures:
            return 'failed' if not self.results else f'{len(self.failures)} failed'
        return '' if self.runs and len(self.results) == len(self.runs) else 'not run'

    @property
    def inputs(self) -> str:
        """What the network sees."""
        if self.network.inputs or not self.results:
            return self.network.inputs or '-'
        channels = self.results[0]['channels']  # None of a dataset of another kind
        return '-' if channels is None else BOTH if channels[1] else OPTICAL


def plan_rows(
    networks: Sequence[Network],
    configs: Path,
    protocol: Protocol,
    seeds: Sequence[int],
    place: Path,
    overrides: dict[str, Any],
) -> list[Row]:
    """Make the runs of each network; one that cannot run is a row with its reason.

    Args:
        networks: The rows.
        configs: Folder of the configs.
        protocol: What the rows have in common.
        seeds: Of the runs of each row.
        place: Folder of the runs: ``<place>/<key of the row>/seed_<seed>``.
        overrides: Settings of all configs, after the protocol.

    Raises:
        FileNotFoundError: If the city has no tiles.
        ValueError: If the protocol does not fit a config.
    """
    rows = []
    for network in networks:
        row = Row(network)
        rows.append(row)
        try:
            path = network.find_config(configs, protocol)
        except ValueError as error:
            row.reason = str(error)
            continue
        config = Config.fromfile(path)
        protocol.apply(config)
        config.merge_from_dict(overrides)
        for seed in seeds:
            folder = place / network.key / f'seed_{seed}'
            row.runs.append(Run.of(network.key, config, seed, folder))
    return rows


def work_off(rows: Sequence[Row], place: Path, workers: int, repeats: int) -> Iterator[Outcome]:
    """Work off the runs of rows, all rows' first seeds before any second one.

    Args:
        rows: What has become of their runs is noted in them.
        place: See :func:`run_all`.
        workers: See :func:`run_all`.
        repeats: See :func:`run_all`.

    Yields:
        What has become of each run.
    """
    most = max((len(row.runs) for row in rows), default=0)
    ordered = [(row, run) for index in range(most) for row in rows for run in row.runs[index:][:1]]
    outcomes = run_all([run for _, run in ordered], place, workers, repeats)
    for (row, _), outcome in zip(ordered, outcomes, strict=True):
        row.outcomes.append(outcome)
        yield outcome
