"""Speed and memory of loading: python tools/analysis_tools/benchmark_loader.py ARCHIVE CONVERTED.

ARCHIVE is the root of a Potsdam archive; CONVERTED is what dataset_converters/isprs.py made of it.
Compared are windows from each and, as most loaders do, crops of tiles that are read whole.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Crops per second, and memory, of loading')
    parser.add_argument('archive', type=Path, help='root of a Potsdam archive')
    parser.add_argument('converted', type=Path, help='the same tiles, converted')
    parser.add_argument('--crops', type=int, default=1000, help='windows that are timed')
    parser.add_argument('--whole', type=int, default=20, help='crops of whole tiles likewise')
    parser.add_argument('--workers', type=int, nargs='+', default=[1, 2])
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.benchmark_loader import measure_loading  # seconds: after --help

    measure_loading(args)


if __name__ == '__main__':
    main()
