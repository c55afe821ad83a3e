"""Work off a study: python tools/analysis_tools/run_study.py configs/studies/city.py --jobs 2.

Trains each cell on each data set with each seed, one process a run, tests it with both modalities
and with either left out, and writes Tables IV and V of the paper and MCRM taken apart, the paper's
values beside. Run again, it goes on where it was stopped. docs/study says what a study is.
"""

import argparse
import os
import sys
from pathlib import Path

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.experiments.runs import Outcome
from mobanet_mmseg.experiments.study import Study
from mobanet_mmseg.experiments.study_report import StudyReport
from mobanet_mmseg.experiments.study_runs import plan, read_results, work_off, write_cities


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Ablations and tests without a modality, over seeds; resumable',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('study', type=Path, help='its file, such as configs/studies/potsdam.py')
    parser.add_argument(
        '--work-dir',
        type=Path,
        help='folder of the runs and of the tables (default: work_dirs/study_<name of the file>)',
        default=argparse.SUPPRESS,
    )
    parser.add_argument(
        '--jobs', type=int, default=1, help="runs side by side, which share the processor's cores"
    )
    parser.add_argument(
        '--workers',
        type=int,
        help='processes a run that load its windows (default: up to 4, by the cores of a job)',
        default=argparse.SUPPRESS,
    )
    parser.add_argument(
        '--cells',
        nargs='+',
        metavar='CELL',
        help='run these alone; the tables show all that is done',
        default=argparse.SUPPRESS,
    )
    parser.add_argument(
        '--report', action='store_true', help='run nothing, write the tables of what is done'
    )
    return parser.parse_args()


def work(args: argparse.Namespace) -> bool:
    """Work a study off, or report on it; tells whether no run has failed."""
    study = Study.read(args.study)
    place = getattr(args, 'work_dir', Path('work_dirs', f'study_{args.study.stem}'))
    cells = getattr(args, 'cells', None)
    cores = max(1, (os.cpu_count() or 1) // max(1, args.jobs))
    workers = getattr(args, 'workers', min(4, cores - 1))
    if args.jobs < 1 or workers < 0:
        raise ValueError('--jobs is at least 1, --workers at least 0.')
    unknown = sorted({*(cells or ())} - {*study.cells})
    if unknown:
        raise ValueError(f'There is no cell {unknown[0]}: choose of {", ".join(study.cells)}.')
    report = StudyReport(study, plan(study, place))
    read_results(report.parts)
    if args.report:
        print(*report.write(place), sep='\n')
        return True
    for root in write_cities(study):
        print(f'{root} is missing: a city is written there.', flush=True)
    count = sum(len(p.runs) for p in report.parts if cells is None or p.cell.key in cells)
    succeeded, written = True, []
    for number, outcome in enumerate(work_off(report.parts, cells, place, workers, args.jobs), 1):
        tell(number, count, outcome)
        succeeded &= outcome.result is not None
        if outcome.repeated or number == count:
            written = report.write(place)  # now, when the place is held
    print(*(written or report.write(place)), sep='\n')
    return succeeded


def tell(number: int, count: int, outcome: Outcome) -> None:
    said = f'[{number}/{count}] {outcome.run.title}: '
    if outcome.result is None:
        said += f'FAILED: {outcome.failure}'
    else:
        scores = outcome.result['metrics'].items()
        said += 'mIoU ' + ', '.join(f'{found["mIoU"]:.2f} ({name})' for name, found in scores)
        said += '' if outcome.repeated else ', done before'
    print(said, flush=True)


def main() -> None:
    try:
        succeeded = work(parse_args())
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')
    if not succeeded:
        sys.exit(1)


if __name__ == '__main__':
    main()
