"""Runs side by side: python tools/analysis_tools/compare.py RUN RUN --out DIR.

A RUN is the work folder of a training, the folder of a run of tools/benchmark_table.py, or a folder
of label maps. The report has metrics and their differences, intervals by a paired bootstrap over
tiles, a picture of each tile, and confusion matrices.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Compare runs on their test tiles; the others with the first'
    )
    parser.add_argument('runs', nargs='*', metavar='RUN', help='folder, or NAME=FOLDER')
    parser.add_argument(
        '--run',
        nargs=3,
        action='append',
        default=[],
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='a run by its files',
    )
    parser.add_argument(
        '--config', type=Path, help='config whose test dataset label maps are of, if any are given'
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of all that is written')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.experiments.matching import (  # seconds: after --help
        check_places,
        compare,
        match_tiles,
    )
    from mobanet_mmseg.experiments.sides import parse_sides
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    with ending_in_one_sentence():
        sides = parse_sides(args.runs, args.run, args.config, args.out / 'maps')
        matched = match_tiles(sides)
        check_places(sides, matched, args.out)
        for side in sides:
            if side.checkpoint is not None:
                side.predict(args.out / 'logs')
        written = compare(sides, matched, args.out).write(args.out)
    print(written[0].read_text(encoding='utf-8'))
    print(*written, f'{args.out / "tiles"}: {len(matched)} pictures', sep='\n')


if __name__ == '__main__':
    main()
