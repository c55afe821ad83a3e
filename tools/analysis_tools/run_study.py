"""Work off a study: python tools/analysis_tools/run_study.py configs/studies/city.py --jobs 2.

Trains each cell on each data set with each seed, one process a run, tests it with both modalities
and with either left out, and writes Tables IV and V of the paper and MCRM taken apart, the paper's
values beside. Run again, it goes on where it was stopped. docs/study says what a study is.
"""

import argparse
import sys
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Ablations and tests without a modality, over seeds; resumable',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('study', type=Path, help='its file, or a name such as studies/potsdam.py')
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


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.run_study import work  # seconds: after --help

    if not work(args):
        sys.exit(1)


if __name__ == '__main__':
    main()
