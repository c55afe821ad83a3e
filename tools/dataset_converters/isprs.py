"""Convert an ISPRS archive: python tools/dataset_converters/isprs.py potsdam DOWNLOADS --out DIR.

Train on it with configs/_base_/datasets/isprs_potsdam_converted.py (or isprs_vaihingen_converted).
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert an ISPRS archive to tiled rasters that train fast; goes on where a '
        'stopped conversion stopped'
    )
    parser.add_argument('archive', choices=['potsdam', 'vaihingen'])
    parser.add_argument(
        'source', help='folder of the downloaded zips or of what they hold, or a zip of it all'
    )
    parser.add_argument('--out', required=True, help='folder to write into')
    parser.add_argument(
        '--labels', choices=['eroded', 'full'], default='eroded', help='default: eroded'
    )
    parser.add_argument(
        '--optical',
        choices=['rgb', 'irrg', 'rgbir'],
        help='default: rgb for Potsdam; Vaihingen has irrg only',
    )
    parser.add_argument(
        '--height', choices=['dsm', 'ndsm'], default='dsm', help='default: dsm, in metres'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.conversion.isprs import convert  # seconds: after --help
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    with ending_in_one_sentence():
        report = convert(
            args.archive,
            args.source,
            args.out,
            optical=args.optical,
            height=args.height,
            labels=args.labels,
        )
    print(report)


if __name__ == '__main__':
    main()
