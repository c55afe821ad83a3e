"""Convert DroneDeploy's dataset: dronedeploy.py data/dataset-medium --out data/dronedeploy.

Train on it with configs/mobanet/dronedeploy_dinov2_b.py.
"""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Cut the scenes of DroneDeploy's Segmentation Dataset into tiles of image, "
        "height and class indices, with the benchmark's split",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('source', help='folder with images, elevations and labels')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument('--tile', type=int, default=1024, help='side of a tile, pixels')
    parser.add_argument('--overwrite', action='store_true', help='replace an earlier conversion')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.conversion.dronedeploy import convert  # seconds: after --help
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    with ending_in_one_sentence():
        print(convert(args.source, args.out, tile=args.tile, overwrite=args.overwrite))


if __name__ == '__main__':
    main()
