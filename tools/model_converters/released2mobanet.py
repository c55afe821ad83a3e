"""Convert the authors' checkpoint: python tools/model_converters/released2mobanet.py IN OUT.

The tensors are written as they are under the names of the config's model, with the classes and the
palette of its test dataset.
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert a checkpoint of MoBaNet as its authors released it'
    )
    parser.add_argument('source', type=Path, help='.pth file that the authors released')
    parser.add_argument('target', type=Path, help='checkpoint to write')
    parser.add_argument(
        '--config',
        default='mobanet/potsdam_dinov2_b_released.py',
        help='config of the network (default: %(default)s)',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.released2mobanet import convert_released  # seconds: after --help

    convert_released(args)


if __name__ == '__main__':
    main()
