"""The command of speed and memory of networks."""

import argparse
from collections.abc import Iterable

import torch
from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import track

from mobanet_cli.arguments import read_settings
from mobanet_mmseg.experiments.speed import Settings, measure_rows, plan_rows
from mobanet_mmseg.experiments.speed_report import to_json, to_markdown
from mobanet_mmseg.inference.inferencer import AMP_TYPES
from mobanet_mmseg.inference.trained import find_device
from mobanet_mmseg.mistakes import ending_in_one_sentence


@ending_in_one_sentence()
def measure(args: argparse.Namespace) -> None:
    """Measure networks in turns, and print their tables.

    Args:
        args: What tools/analysis_tools/benchmark.py was told.
    """
    MMLogger.get_instance('benchmark').setLevel('ERROR')  # of how the optimizers are built
    device = find_device(args.device)
    if device.type == 'cuda':
        torch.backends.cudnn.benchmark = True  # as in training
    variants = [(name, read_settings(rest)) for name, *rest in args.variant]
    rows = plan_rows(args.configs, variants, args.cfg_options)
    settings = Settings(
        args.repeats,
        args.batch_size,
        args.memory_batch_size,
        device,
        AMP_TYPES[args.amp],
        tuple(args.sections),
        not args.no_yardsticks,
    ).resolved(rows[0].config)
    rows = measure_rows(rows, settings, _watch)
    print((to_json if args.json else to_markdown)(rows, settings))


def _watch(rounds: range, what: str) -> Iterable[int]:
    return track(rounds, what, console=Console(stderr=True))
