"""Check the datasets of a config before training."""

import argparse
import sys
from collections import defaultdict
from dataclasses import replace

from mmengine.registry import init_default_scope

from mobanet_mmseg.checks.checks import SPLITS, CheckedTile, Layers, check_config
from mobanet_mmseg.checks.judge import HURTS, Finding
from mobanet_mmseg.checks.table import print_checks, write_json
from mobanet_mmseg.classes import Classes
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.engine.agreement import disagreements
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.visualization.pictures import render_panels, save_picture
from mobanet_mmseg.writing import Stems, check_outputs


@ending_in_one_sentence()
def check(args: argparse.Namespace) -> bool:
    """Check the datasets of a config before training.

    Args:
        args: What tools/misc/check_data.py was told.

    Returns:
        Whether something will hurt.
    """
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
    config = read_config(args.config, args.cfg_options)
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
    sys.exit(int(checks.hurt))
