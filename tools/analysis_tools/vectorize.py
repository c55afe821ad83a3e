"""Polygons, areas and QGIS styles of label maps: python tools/analysis_tools/vectorize.py MAP.

Takes label maps as predict.py, test.py and the converters write them, and writes beside them, or
into --out.
"""

import argparse

from mobanet_cli.arguments import add_sidecars


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write polygons, areas, shares of zones and QGIS styles of label maps'
    )
    parser.add_argument('maps', nargs='+', metavar='map', help='label map')
    add_sidecars(parser)
    parser.add_argument('--out', metavar='DIR', help='folder to write to (default: beside the map)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.mistakes import ending_in_one_sentence  # seconds: after --help
    from mobanet_mmseg.vectors.sidecars import vectorize

    with ending_in_one_sentence():
        vectorize(args)


if __name__ == '__main__':
    main()
