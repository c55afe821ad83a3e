"""Make a checkpoint whole, to share it: merge_checkpoint.py CONFIG CHECKPOINT OUT.

A training saves what it trains and a fingerprint of the frozen encoder. Merged, the encoder from
its weight file stands in the file, too; with --split it is left out again.
"""

import argparse

from mobanet_cli.arguments import add_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Put the frozen encoder into a checkpoint, from its weight file'
    )
    add_conversion(parser, 'checkpoint')
    parser.add_argument(
        '--split', action='store_true', help='leave the encoder out of a whole checkpoint instead'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.merge_checkpoint import convert  # seconds: after --help

    convert(args)


if __name__ == '__main__':
    main()
