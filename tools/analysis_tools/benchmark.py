"""Speed and memory of networks: python tools/analysis_tools/benchmark.py CONFIG...

Predicts a crop and takes training steps by each config in turns, beside the bare frozen encoder and
the plainest composition of the same weights, and prints tables with the ratios. Weights are random,
on which neither speed nor memory depends.
"""

import argparse
from pathlib import Path

from mobanet_cli.arguments import add_cfg_options, add_device

SECTIONS = ('predict', 'train')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Speed and memory of networks, in one run')
    parser.add_argument('configs', nargs='+', type=Path, help='config files, one a row')
    parser.add_argument(
        '--variant',
        nargs='+',
        action='append',
        default=[],
        metavar=('NAME', 'KEY=VALUE'),
        help='a further row: the first config with these settings; may be given again',
    )
    parser.add_argument('--sections', nargs='+', choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument('--repeats', type=int, default=9, help='rounds of which medians count')
    parser.add_argument(
        '--batch-size', type=int, help="samples of a timed step (default: the first config's)"
    )
    parser.add_argument(
        '--memory-batch-size',
        type=int,
        help="samples of the step whose memory is told (default: the first config's)",
    )
    add_device(parser)
    parser.add_argument(
        '--amp', choices=['bf16', 'fp16'], help='mixed precision, of the yardsticks not'
    )
    parser.add_argument('--no-yardsticks', action='store_true', help='the configs alone')
    add_cfg_options(parser, 'all configs')
    parser.add_argument('--json', action='store_true', help='each run, as JSON')
    args = parser.parse_args()
    sizes = (args.repeats, args.batch_size, args.memory_batch_size)
    if any(size is not None and size < 1 for size in sizes):
        parser.error('--repeats, --batch-size and --memory-batch-size are at least 1')
    if any('=' in name or not all('=' in each for each in rest) for name, *rest in args.variant):
        parser.error('--variant takes a name, and then settings as key=value')
    return args


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.benchmark import measure  # seconds: after --help

    measure(args)


if __name__ == '__main__':
    main()
