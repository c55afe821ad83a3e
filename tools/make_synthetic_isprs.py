"""Write a synthetic ISPRS Potsdam archive: python tools/make_synthetic_isprs.py OUT."""

import argparse
import sys

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.synthetic import BANDS, write_archive

TRAIN_TILES, TEST_TILES = ISPRSPotsdamDataset.TRAIN_TILES, ISPRSPotsdamDataset.TEST_TILES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Write a synthetic city in the layout of the ISPRS Potsdam archive',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('out', help='folder to write into')
    parser.add_argument('--size', type=int, default=6000, help='rows and columns of a tile, pixels')
    parser.add_argument('--gsd', type=float, default=0.05, help='metres per pixel')
    parser.add_argument('--seed', type=int, default=0, help='number of the city')
    parser.add_argument(
        '--ambiguity',
        type=float,
        default=1.0,
        help='share of the things whose looks do not tell their class: at 1 only the heights tell '
        'roofs from streets and trees from lawns, at 0 the image alone tells all classes',
    )
    parser.add_argument('--train', type=int, default=2, help='number of training tiles')
    parser.add_argument('--test', type=int, default=1, help='number of test tiles')
    parser.add_argument(
        '--tiles', nargs='+', metavar='ROW_COL', help='tiles by name, instead of --train and --test'
    )
    parser.add_argument(
        '--bands', nargs='+', choices=sorted(BANDS), default=['rgb'], help='orthophotos to write'
    )
    parser.add_argument('--compress', default='none', help='GeoTIFF compression, e.g. deflate')
    args = parser.parse_args()
    for option, count, names in (
        ('--train', args.train, TRAIN_TILES),
        ('--test', args.test, TEST_TILES),
    ):
        if not 0 <= count <= len(names):
            parser.error(
                f'{option} is {count}; the archive has {len(names)} such tiles, give 0 to that'
            )
    return args


def main() -> None:
    args = parse_args()
    names = args.tiles or TRAIN_TILES[: args.train] + TEST_TILES[: args.test]
    try:
        write_archive(
            args.out,
            names,
            size=args.size,
            seed=args.seed,
            gsd=args.gsd,
            ambiguity=args.ambiguity,
            bands=args.bands,
            compress=args.compress,
        )
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
