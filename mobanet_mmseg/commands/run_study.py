"""Work a study off, or report on it."""

import argparse
import os
from pathlib import Path

from mobanet_mmseg.experiments.runs import Outcome
from mobanet_mmseg.experiments.study import Study
from mobanet_mmseg.experiments.study_report import StudyReport
from mobanet_mmseg.experiments.study_runs import plan, read_results, work_off, write_cities
from mobanet_mmseg.mistakes import ending_in_one_sentence


@ending_in_one_sentence()
def work(args: argparse.Namespace) -> bool:
    """Work a study off, or report on it.

    Args:
        args: What tools/analysis_tools/run_study.py was told.

    Returns:
        Whether no run has failed.
    """
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
        _tell(number, count, outcome)
        succeeded &= outcome.result is not None
        if outcome.repeated or number == count:
            written = report.write(place)  # now, when the place is held
    print(*(written or report.write(place)), sep='\n')
    return succeeded


def _tell(number: int, count: int, outcome: Outcome) -> None:
    said = f'[{number}/{count}] {outcome.run.title}: '
    if outcome.result is None:
        said += f'FAILED: {outcome.failure}'
    else:
        scores = outcome.result['metrics'].items()
        said += 'mIoU ' + ', '.join(f'{found["mIoU"]:.2f} ({name})' for name, found in scores)
        said += '' if outcome.repeated else ', done before'
    print(said, flush=True)
