"""Measure a checkpoint on the test tiles: python tools/test.py CONFIG CHECKPOINT."""

import argparse

from mobanet_cli.arguments import MODALITIES, add_checkpoint, add_runner_arguments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Measure a checkpoint on the test tiles')
    add_checkpoint(parser)
    parser.add_argument('--out', help='folder for the predicted label maps, as GeoTIFF')
    parser.add_argument(
        '--show-dir', help='folder for pictures: both images, truth, prediction, errors'
    )
    parser.add_argument(
        '--modality',
        choices=MODALITIES,
        help='what the network gets; the other modality is 0 after normalisation '
        "(default: the config's)",
    )
    parser.add_argument(
        '--tta',
        nargs='?',
        const='config',
        choices=['config', 'flips', 'd4'],
        help="average each window's logits over flips (4 predictions), or flips and quarter turns "
        "(d4: 8 predictions); alone: over the views of the config's TestTimeAug, or d4",
    )
    add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.test import test  # seconds: after --help

    test(args)


if __name__ == '__main__':
    main()
