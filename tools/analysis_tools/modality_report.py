"""What a model owes to each modality: python tools/analysis_tools/modality_report.py CONFIG CKPT.

Measures the test set three times, with both modalities and with each alone (the other is 0 after
normalisation), and prints the metrics and how many points each alone lies below both. If asked,
measures it while parts of the area lack the auxiliary image, and compares each modality alone with
a network that was trained on it alone.
"""

import argparse
import sys

from mmengine.dist import is_main_process

from mobanet_mmseg.engine.launch import add_runner_arguments, load_config
from mobanet_mmseg.engine.modality_report import ModalityReport, measure_modalities
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.models.degradation import BLOCK
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.visualization.pictures import rasters_of
from mobanet_mmseg.writing import check_outputs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Metrics on the test set with both modalities, with a part, and with one alone'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--aux-absent',
        nargs='+',
        type=float,
        default=[],
        metavar='PERCENT',
        help='measure while so much of the area lacks the auxiliary image, for example 25 50 75',
    )
    parser.add_argument(
        '--block', type=int, default=BLOCK, help='side of the blocks that lack it, pixels'
    )
    for modality in ('rgb', 'aux'):
        parser.add_argument(
            f'--{modality}-bound',
            metavar='FILE',
            help=f'compare with a network trained on {modality} alone: the checkpoint of the same '
            'network, or a JSON of its metrics',
        )
    parser.add_argument('--out', help='JSON file for all numbers')
    add_runner_arguments(parser)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    config = load_config(args)
    config.load_from = args.checkpoint
    config.resume = False
    bounds = {'rgb': args.rgb_bound, 'aux': args.aux_bound}
    bounds = {modality: path for modality, path in bounds.items() if path is not None}
    runner = SafeRunner.from_cfg(config)
    if args.out is not None:
        rasters = files_behind(*rasters_of(runner.test_loop.dataloader.dataset))
        inputs = [args.config, args.checkpoint, *bounds.values()]
        check_outputs([args.out], [*inputs, *rasters])
    report = measure_modalities(runner, args.aux_absent, bounds, args.block)
    if is_main_process():
        print('\n'.join(describe(report)))
        if args.out is not None:
            report.write(args.out)
            print(args.out)


def describe(report: ModalityReport) -> list[str]:
    lines = [str(report.table()), 'drop: points below both']
    if report.bounds:
        lines.append('bound: of a network that was trained on that modality alone')
    if report.absent:
        lines.append(str(report.absence_table()))
    if report.without_aux is not None:
        lines.append(f'without auxiliary data in the files: {report.without_aux:.2f} % of the area')
    return lines + [f'warning: {sentence}' for sentence in report.warnings]


def main() -> None:
    args = parse_args()
    try:
        measure(args)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
