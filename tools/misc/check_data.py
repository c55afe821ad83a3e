"""What will hurt, before training: python tools/misc/check_data.py CONFIG.

Compares the parts of the config that must agree, reads every tile of its datasets as training would
and prints what it finds; ends with exit code 1 if something will hurt. A tile of 6000 x 6000 pixels
takes about 5 seconds.
"""

import argparse
import sys
from pathlib import Path

from mobanet_cli.arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Check the datasets of a config before training')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test', 'all'], default='all')
    parser.add_argument(
        '--pictures', type=Path, metavar='DIR', help='draw both images and labels of each tile'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all numbers there')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.check_data import check  # seconds: after --help

    sys.exit(int(check(args)))


if __name__ == '__main__':
    main()
