"""Write a synthetic ISPRS Potsdam archive: python tools/make_synthetic_isprs.py OUT."""

import argparse

BANDS = ('irrg', 'rgb', 'rgbir')
TRAIN_TILES, TEST_TILES = 24, 14  # of the archive


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
        '--bands', nargs='+', choices=BANDS, default=['rgb'], help='orthophotos to write'
    )
    parser.add_argument('--compress', default='none', help='GeoTIFF compression, e.g. deflate')
    args = parser.parse_args()
    counts = ('--train', args.train, TRAIN_TILES), ('--test', args.test, TEST_TILES)
    for option, count, most in counts:
        if not 0 <= count <= most:
            parser.error(f'{option} is {count}; the archive has {most} such tiles, give 0 to that')
    return args


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset  # seconds: after --help
    from mobanet_mmseg.mistakes import ending_in_one_sentence
    from mobanet_mmseg.synthetic import write_archive

    tiles = ISPRSPotsdamDataset
    names = args.tiles or tiles.TRAIN_TILES[: args.train] + tiles.TEST_TILES[: args.test]
    with ending_in_one_sentence():
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


if __name__ == '__main__':
    main()
