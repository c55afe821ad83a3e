"""What the network gets: python tools/analysis_tools/browse_dataset.py CONFIG --out DIR.

Draws samples after the pipeline and the data preprocessor, their normalisation undone; rectangles
that MCRM masks are striped, labels lie over both images.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction
from mmengine.registry import init_default_scope

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.visualization.browse import browse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Draw samples as the network gets them')
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', required=True, type=Path, help='folder of the pictures')
    parser.add_argument('--num', type=int, default=20, help='how many samples')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    init_default_scope('mmseg')
    try:
        config = read_config(args.config)
        config.merge_from_dict(args.cfg_options or {})
        follow_split(config)
        written = browse(config, args.out, args.num, args.split)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')
    print(f'{len(written)} pictures in {args.out}')


if __name__ == '__main__':
    main()
