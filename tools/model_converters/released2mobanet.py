"""Convert the authors' checkpoint: python tools/model_converters/released2mobanet.py IN OUT."""

import argparse
import sys
from pathlib import Path

from mobanet_mmseg.weights.authors import convert_released

CONFIG = Path(__file__).parents[2] / 'configs' / 'mobanet' / 'potsdam_dinov2_b_released.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert a checkpoint of MoBaNet as its authors released it'
    )
    parser.add_argument('source', help='.pth file that the authors released')
    parser.add_argument('target', help='checkpoint to write')
    parser.add_argument(
        '--config', default=CONFIG, help='config of the network (default: %(default)s)'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        count = convert_released(args.source, args.target, args.config)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')
    print(f'{args.target}: {count} tensors, for {args.config}')


if __name__ == '__main__':
    main()
