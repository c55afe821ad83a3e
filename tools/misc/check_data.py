"""What will hurt, before training: python tools/misc/check_data.py CONFIG.

Compares the parts of the config that must agree, reads every tile of its datasets as training would
and prints what it finds; ends with exit code 1 if something will hurt. A tile of 6000 x 6000 pixels
takes about 5 seconds.
"""

import argparse
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from mmengine.config import DictAction
from mmengine.registry import init_default_scope

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.checks.checks import SPLITS, CheckedTile, Layers, check_config
from mobanet_mmseg.checks.judge import HURTS, Finding
from mobanet_mmseg.checks.table import print_checks, write_json
from mobanet_mmseg.classes import Classes
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.engine.agreement import disagreements
from mobanet_mmseg.visualization.pictures import render_panels, save_picture
from mobanet_mmseg.writing import Stems, check_outputs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Check the datasets of a config before training')
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=['train', 'val', 'test', 'all'], default='all')
    parser.add_argument(
        '--pictures', type=Path, metavar='DIR', help='draw both images and labels of each tile'
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write all numbers there')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    stems: dict[str, Stems] = defaultdict(Stems)  # of each split

    def draw(tile: CheckedTile, layers: Layers) -> None:
        folder = args.pictures / tile.split.replace(', ', '_')
        path = folder / f'{stems[tile.split].of(tile.report.optical.path)}.png'
        if tile.palette is None:
            classes, layers = None, {name: layers[name] for name in ('rgb', 'aux')}
        else:
            classes = Classes(tile.classes, tile.palette)
        picture = render_panels(**layers, classes=classes, aux_kind=tile.aux_kind)
        save_picture(path, picture)

    init_default_scope('mmseg')
    try:
        config = read_config(args.config)
        config.merge_from_dict(args.cfg_options or {})
        follow_split(config)
        replaced = []
        if args.pictures is not None:
            folders = (args.pictures / split for split in (*SPLITS, 'val_test'))
            replaced = [path for folder in folders for path in folder.glob('*.png')]
        if args.json is not None and args.json.exists():
            check_outputs([args.json], [args.config])
            replaced.append(args.json)
        checks = check_config(config, args.split, draw if args.pictures else None, replaced)
        splits = SPLITS if args.split == 'all' else (args.split,)
        found = [text.rstrip('.') for text in disagreements(config, splits)]
        findings = [*(Finding(HURTS, 'config', '', text) for text in found), *checks.findings]
        checks = replace(checks, findings=findings)
        print_checks(checks)
        if args.json is not None:
            write_json(args.json, checks)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')
    sys.exit(int(checks.hurt))


if __name__ == '__main__':
    main()
