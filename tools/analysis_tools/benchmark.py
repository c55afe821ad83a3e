"""Speed and memory of networks: python tools/analysis_tools/benchmark.py CONFIG...

Predicts a crop and takes training steps by each config in turns, beside the bare frozen encoder and
the plainest composition of the same weights, and prints tables with the ratios. Weights are random,
on which neither speed nor memory depends.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import DictAction
from mmengine.device import get_device
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.engine.launch import ending_in_one_sentence
from mobanet_mmseg.experiments.speed import SECTIONS, Settings, measure_rows, plan_rows
from mobanet_mmseg.experiments.speed_report import to_json, to_markdown
from mobanet_mmseg.inference.inferencer import AMP_TYPES


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
    parser.add_argument('--device', default=get_device())
    parser.add_argument(
        '--amp', choices=['bf16', 'fp16'], help='mixed precision, of the yardsticks not'
    )
    parser.add_argument('--no-yardsticks', action='store_true', help='the configs alone')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override all configs, as key=value',
    )
    parser.add_argument('--json', action='store_true', help='each run, as JSON')
    args = parser.parse_args()
    sizes = (args.repeats, args.batch_size, args.memory_batch_size)
    if any(size is not None and size < 1 for size in sizes):
        parser.error('--repeats, --batch-size and --memory-batch-size are at least 1')
    if any('=' in name or not all('=' in each for each in rest) for name, *rest in args.variant):
        parser.error('--variant takes a name, and then settings as key=value')
    return args


def read_settings(texts: list[str]) -> dict[str, Any]:
    """Read key=value as --cfg-options does."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--settings', nargs='*', action=DictAction, default={})
    return parser.parse_args(['--settings', *texts]).settings


def watch(rounds: range, what: str) -> Iterable[int]:
    return track(rounds, what, console=Console(stderr=True))


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('benchmark').setLevel('ERROR')  # of how the optimizers are built
    if torch.device(args.device).type == 'cuda':
        torch.backends.cudnn.benchmark = True  # as in training
    with ending_in_one_sentence():
        variants = [(name, read_settings(rest)) for name, *rest in args.variant]
        rows = plan_rows(args.configs, variants, args.cfg_options)
        settings = Settings(
            args.repeats,
            args.batch_size,
            args.memory_batch_size,
            torch.device(args.device),
            AMP_TYPES[args.amp],
            tuple(args.sections),
            not args.no_yardsticks,
        ).resolved(rows[0].config)
        rows = measure_rows(rows, settings, watch)
    print((to_json if args.json else to_markdown)(rows, settings))


if __name__ == '__main__':
    main()
