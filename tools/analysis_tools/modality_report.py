"""What a model owes to each modality: python tools/analysis_tools/modality_report.py CONFIG CKPT.

Measures the test set three times, with both modalities and with each alone (the other is 0 after
normalisation), and prints the metrics and how many points each alone lies below both. If asked,
measures it while parts of the area lack the auxiliary image, and compares each modality alone with
a network that was trained on it alone.
"""

import argparse

from mobanet_cli.arguments import add_checkpoint, add_runner_arguments


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Metrics on the test set with both modalities, with a part, and with one alone'
    )
    add_checkpoint(parser)
    parser.add_argument(
        '--aux-absent',
        nargs='+',
        type=float,
        default=[],
        metavar='PERCENT',
        help='measure while so much of the area lacks the auxiliary image, for example 25 50 75',
    )
    parser.add_argument(
        '--block', type=int, default=64, help='side of the blocks that lack it, pixels'
    )
    for modality in ('rgb', 'aux'):
        parser.add_argument(
            f'--{modality}-bound',
            metavar='FILE',
            help=f'compare with a network trained on {modality} alone: the checkpoint of the same '
            'network, or a JSON of its metrics',
        )
    parser.add_argument('--out', help='JSON file for all numbers')
    add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.modality_report import measure  # seconds: after --help

    measure(args)


if __name__ == '__main__':
    main()
