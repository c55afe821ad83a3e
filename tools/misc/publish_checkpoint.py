"""Strip a checkpoint of what only training needs: publish_checkpoint.py CHECKPOINT OUT.

OUT gets the first digits of its SHA-256 into its name, which are compared where it is fetched from
an address. The command says under which licence the encoder stands.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Strip a checkpoint of optimizer, schedules, logs and averages in the making'
    )
    parser.add_argument('checkpoint', type=Path, help='checkpoint that a training wrote')
    parser.add_argument('out', type=Path, help='name of the file to write, OUT-SHA256.pth')
    parser.add_argument(
        '--config', help='its config, where the checkpoint does not say which encoder it is of'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.publish_checkpoint import publish  # seconds: after --help

    publish(args)


if __name__ == '__main__':
    main()
