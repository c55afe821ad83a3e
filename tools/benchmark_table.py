"""The paper's Tables I-III: python tools/benchmark_table.py --data city --schedule 400x4 ...

Trains, tests and costs each network under one protocol, one process a run, and writes the tables as
Markdown, CSV, JSON and a plot, the paper's values beside ours. Run again, it goes on where it was
stopped: what is done is not repeated. docs/benchmark.md says what can be compared.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from mmengine.config import DictAction

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.experiments.networks import NETWORKS, choose_networks
from mobanet_mmseg.experiments.protocols import (
    DATA,
    OWN,
    PAPER,
    WINDOW,
    Protocol,
    Schedule,
    write_city,
)
from mobanet_mmseg.experiments.report import Report
from mobanet_mmseg.experiments.rows import plan_rows, work_off
from mobanet_mmseg.experiments.runs import Outcome

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    keys = ', '.join(network.key for network in NETWORKS)
    parser = argparse.ArgumentParser(
        description="The paper's Tables I-III under one protocol, resumable",
        epilog=f'rows: {keys}',
    )
    parser.add_argument(
        '--data',
        choices=[*DATA, OWN],
        required=True,
        help=f'archive; city: a synthetic one; {OWN}: what the configs of --config name',
    )
    parser.add_argument('--data-root', type=Path, help="folder of the archive, not the configs'")
    parser.add_argument('--networks', nargs='+', metavar='ROW', help='rows; all if left out')
    parser.add_argument(
        '--config', nargs='+', type=Path, default=[], metavar='FILE', help='rows of your own'
    )
    parser.add_argument(
        '--schedule',
        default=PAPER,
        help="'paper' (50 x 1000 iterations of 12 windows), or ITERATIONSxBATCH: a demonstration",
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[42], help='one run a row for each')
    parser.add_argument(
        '--window',
        type=int,
        help=f"side of crops and windows, pixels (default: {WINDOW}; each config's own with "
        f'--published or --data {OWN})',
    )
    parser.add_argument(
        '--published', action='store_true', help="the networks' own published recipes"
    )
    parser.add_argument(
        '--from-scratch', action='store_true', help='look for no pretrained weights'
    )
    parser.add_argument('--work-dir', type=Path, help='folder of the runs and of the tables')
    parser.add_argument('--workers', type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument('--repeats', type=int, default=20, help='forward passes for the latency')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        default={},
        help='settings that override all configs, as key=value; the tables name them',
    )
    return parser.parse_args()


def make_report(args: argparse.Namespace) -> tuple[Report, Path]:
    """Plan the rows; gives them and the folder of their runs."""
    if (args.window is not None and args.window < 1) or args.repeats < 1 or args.workers < 0:
        raise ValueError('--window and --repeats are at least 1, --workers at least 0.')
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
    rows = plan_rows(networks, ROOT / 'configs', protocol, seeds, place, args.cfg_options)
    return Report(rows, protocol, seeds, args.cfg_options), place


def tell(number: int, count: int, outcome: Outcome) -> None:
    said = f'[{number}/{count}] {outcome.run.title}: '
    if outcome.result is None:
        said += f'FAILED: {outcome.failure}'
    else:
        found: dict[str, Any] = outcome.result['metrics']['both']
        said += f'mIoU {found["mIoU"]:.2f}' + ('' if outcome.repeated else ', done before')
    print(said, flush=True)


def main() -> None:
    args = parse_args()
    failed = False
    try:
        report, place = make_report(args)
        written = []
        count = sum(len(row.runs) for row in report.rows)
        for row in report.rows:
            if row.reason:
                print(f'{row.network.key} is not run: {row.reason}')
        for number, outcome in enumerate(
            work_off(report.rows, place, args.workers, args.repeats), 1
        ):
            tell(number, count, outcome)
            failed |= outcome.result is None
            written = report.write(place)  # now, when the place is held
        written = written or report.write(place)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')
    print(*written, sep='\n')
    if failed:
        sys.exit(1)


if __name__ == '__main__':
    main()
