"""The command of the paper's Tables I-III."""

import argparse
from pathlib import Path
from typing import Any

from mobanet_mmseg.configs import CONFIGS
from mobanet_mmseg.experiments.networks import choose_networks
from mobanet_mmseg.experiments.protocols import OWN, WINDOW, Protocol, Schedule, write_city
from mobanet_mmseg.experiments.report import Report
from mobanet_mmseg.experiments.rows import plan_rows, work_off
from mobanet_mmseg.experiments.runs import Outcome
from mobanet_mmseg.mistakes import ending_in_one_sentence


@ending_in_one_sentence()
def write_tables(args: argparse.Namespace) -> bool:
    """Train, test and cost each network, and write the tables after each run.

    Args:
        args: What tools/benchmark_table.py was told.

    Returns:
        Whether no run has failed.
    """
    failed = False
    report, place = _make_report(args)
    written = []
    count = sum(len(row.runs) for row in report.rows)
    for row in report.rows:
        if row.reason:
            print(f'{row.network.key} is not run: {row.reason}')
    for number, outcome in enumerate(work_off(report.rows, place, args.workers, args.repeats), 1):
        _tell(number, count, outcome)
        failed |= outcome.result is None
        written = report.write(place)  # now, when the place is held
    written = written or report.write(place)
    print(*written, sep='\n')
    return not failed


def _make_report(args: argparse.Namespace) -> tuple[Report, Path]:
    """Plan the rows; gives them and the folder of their runs."""
    if (args.window is not None and args.window < 1) or args.repeats < 1 or args.workers < 0:
        raise ValueError('--window and --repeats are at least 1, --workers at least 0.')
    overrides = args.cfg_options or {}
    own = args.published or args.data == OWN
    window = args.window or (None if own else WINDOW)
    schedule = Schedule.parse(args.schedule)
    protocol = Protocol(
        args.data, args.data_root, schedule, window, args.published, args.from_scratch
    )
    networks = choose_networks(
        [] if args.networks is None and args.data == OWN else args.networks, args.config
    )
    if protocol.data == 'city' and not protocol.root.exists():
        print(f'{protocol.root} is missing: a city is written there.')
        write_city(protocol.root)
    place = args.work_dir or Path('work_dirs', f'benchmark_{protocol.slug}')
    seeds = list(dict.fromkeys(args.seeds))
    rows = plan_rows(networks, CONFIGS.resolve(), protocol, seeds, place, overrides)
    return Report(rows, protocol, seeds, overrides), place


def _tell(number: int, count: int, outcome: Outcome) -> None:
    said = f'[{number}/{count}] {outcome.run.title}: '
    if outcome.result is None:
        said += f'FAILED: {outcome.failure}'
    else:
        found: dict[str, Any] = outcome.result['metrics']['both']
        said += f'mIoU {found["mIoU"]:.2f}' + ('' if outcome.repeated else ', done before')
    print(said, flush=True)
