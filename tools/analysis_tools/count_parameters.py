"""Parameters and operations of models: python tools/analysis_tools/count_parameters.py CONFIG."""

import argparse
import json
from pathlib import Path

from mobanet_cli.arguments import add_cfg_options


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Parameters of each part, and multiply-adds at the crop; needs no weights'
    )
    parser.add_argument('configs', nargs='+', type=Path, help='config files')
    parser.add_argument(
        '--shape', nargs=2, type=int, metavar=('H', 'W'), help="instead of the config's crop_size"
    )
    add_cfg_options(parser)
    parser.add_argument('--json', action='store_true', help='numbers by config, as JSON')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.configs import read_config  # seconds: after --help
    from mobanet_mmseg.engine.complexity import measure_config, parameter_table
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    measured = {}
    with ending_in_one_sentence():
        for path in args.configs:
            config = read_config(path, args.cfg_options)
            measured[str(path)] = measure_config(config, args.shape)
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
