"""Parameters and operations of models: python tools/analysis_tools/count_parameters.py CONFIG."""

import argparse
import json
import sys
from pathlib import Path

from mmengine.config import DictAction

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.engine.complexity import measure_config, parameter_table


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Parameters of each part, and multiply-adds at the crop; needs no weights'
    )
    parser.add_argument('configs', nargs='+', type=Path, help='config files')
    parser.add_argument(
        '--shape', nargs=2, type=int, metavar=('H', 'W'), help="instead of the config's crop_size"
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the configs, as key=value',
    )
    parser.add_argument('--json', action='store_true', help='numbers by config, as JSON')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    measured = {}
    for path in args.configs:
        config = read_config(path)
        config.merge_from_dict(args.cfg_options or {})
        try:
            measured[str(path)] = measure_config(config, args.shape)
        except ValueError as error:
            sys.exit(f'error: {error}')
    if args.json:
        print(json.dumps({path: cost.to_dict() for path, cost in measured.items()}, indent=1))
        return
    for path, cost in measured.items():
        channels, height, width = cost.input_shape
        print(path)
        print(parameter_table(cost.parts))
        print(
            f'{cost.multiply_adds / 1e9:.2f} G multiply-adds ({2 * cost.multiply_adds / 1e9:.2f} '
            f'GFLOPs) to predict {channels} x {height} x {width}, in convolutions, linear layers '
            'and attention\n'
        )


if __name__ == '__main__':
    main()
