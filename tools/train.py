"""Train a segmentor: python tools/train.py CONFIG."""

import argparse
import sys
from itertools import pairwise

from mobanet_cli.arguments import add_runner_arguments

PRECISIONS = ('auto', 'bf16', 'fp16')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a segmentor')
    parser.add_argument('config', help='config file')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='go on from the newest checkpoint in the work folder, or from the one named here',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=PRECISIONS,
        help='automatic mixed precision: bf16 where the device has it, else fp16; or the one named',
    )
    parser.add_argument(
        '--compile', action='store_true', help='compile the blocks of the frozen encoder'
    )
    add_runner_arguments(parser)
    words = [*sys.argv[1:], '']
    for index, (word, after) in enumerate(pairwise(words)):
        if word == '--amp' and after not in PRECISIONS:  # alone, it may stand before CONFIG
            words[index] = '--amp=auto'
    return parser.parse_args(words[:-1])


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.train import train  # seconds: after --help

    train(args)


if __name__ == '__main__':
    main()
