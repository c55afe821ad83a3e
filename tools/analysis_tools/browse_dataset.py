"""What the network gets: python tools/analysis_tools/browse_dataset.py CONFIG --out DIR.

Draws samples after the pipeline and the data preprocessor, their normalisation undone; rectangles
that MCRM masks are striped, labels lie over both images.
"""

import argparse
from pathlib import Path

from mobanet_cli.arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Draw samples as the network gets them')
    parser.add_argument('config', help='config file')
    parser.add_argument('--out', required=True, type=Path, help='folder of the pictures')
    parser.add_argument('--num', type=int, default=20, help='how many samples')
    parser.add_argument('--split', choices=['train', 'val', 'test'], default='train')
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmengine.registry import init_default_scope  # seconds: after --help

    from mobanet_mmseg.configs import read_config
    from mobanet_mmseg.datasets.splits import follow_split
    from mobanet_mmseg.mistakes import ending_in_one_sentence
    from mobanet_mmseg.visualization.browse import browse

    init_default_scope('mmseg')
    with ending_in_one_sentence():
        config = read_config(args.config, args.cfg_options)
        follow_split(config)
        written = browse(config, args.out, args.num, args.split)
    print(f'{len(written)} pictures in {args.out}')


if __name__ == '__main__':
    main()
