"""What degraded images cost a model: python tools/analysis_tools/degradation.py CONFIG CKPT.

Measures the test set as it is, and with one modality masked, noisy, blurred, shifted against the
other or of a lower resolution, level by level. Writes tables and a curve for each class.
"""

import argparse
import sys
from pathlib import Path

from mmengine.dist import is_main_process

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.engine.degradation import measure_degradations
from mobanet_mmseg.engine.launch import add_runner_arguments, load_config
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.experiments.degradation import FILES, LEVELS, DegradationReport, plan
from mobanet_mmseg.models.degradation import BLOCK, MODALITIES, UNITS, Degradation
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.visualization.pictures import rasters_of
from mobanet_mmseg.writing import check_outputs, prepare_place

FACTS = ('config', 'checkpoint', 'seed', 'block', 'cfg_options')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Metrics on the test set as it is, and with one modality degraded',
        epilog='Levels where --levels does not say: '
        + '; '.join(
            f'{kind}={",".join(f"{level:g}" for level in LEVELS[kind])} ({unit})'
            for kind, unit in UNITS.items()
        ),
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', type=Path, default=Path('degradation'), help='folder of the tables and curves'
    )
    parser.add_argument(
        '--of', nargs='+', choices=MODALITIES, help='modalities to degrade (default: all there are)'
    )
    parser.add_argument(
        '--kinds', nargs='+', choices=list(UNITS), default=list(UNITS), help='ways to degrade them'
    )
    parser.add_argument(
        '--levels', nargs='+', default=[], metavar='KIND=LEVEL,LEVEL', help='such as blur=1,2,4'
    )
    parser.add_argument(
        '--resume', action='store_true', help='leave out what the folder has of the same command'
    )
    parser.add_argument('--block', type=int, default=BLOCK, help='side of masked blocks, pixels')
    parser.add_argument('--seed', type=int, default=0, help='of masks, noise and directions')
    add_runner_arguments(parser)
    return parser.parse_args()


def measure(args: argparse.Namespace) -> None:
    degradations = plan(args.of or MODALITIES, args.kinds, args.levels)
    if args.block < 1:
        raise ValueError(f'--block got {args.block}: give the side of a block, pixels.')
    config = load_config(args)
    config.load_from = args.checkpoint
    config.resume = False
    runner = SafeRunner.from_cfg(config)
    dataset = runner.test_loop.dataloader.dataset
    channels = modality_channels_of(dataset)
    if args.of is None and channels is not None and not channels[1]:
        degradations = [each for each in degradations if each.modality == 'rgb']
    outputs = [args.out / name for name in FILES]
    rasters = files_behind(*rasters_of(dataset))
    check_outputs(outputs, [args.config, args.checkpoint, *rasters])
    for path in outputs:
        prepare_place(path)
    facts = {name: str(vars(args)[name]) for name in FACTS if vars(args)[name] is not None}
    report = DegradationReport(facts, degradations)
    if args.resume:
        report.resume(args.out)
    missing = report.missing
    for degradation, metrics in measure_degradations(runner, missing, args.seed, args.block):
        report.add(degradation, metrics)
        if is_main_process():
            print(describe(report, degradation), flush=True)
            report.write(args.out, pictures=ends_a_curve(degradation, missing))
    if is_main_process():
        if not missing:  # all was measured before
            report.write(args.out)
        print('\n'.join(map(str, outputs)))


def ends_a_curve(degradation: Degradation | None, missing: list[Degradation | None]) -> bool:
    after = missing[missing.index(degradation) + 1 :]
    if degradation is None or not after:
        return True
    return (after[0].kind, after[0].modality) != (degradation.kind, degradation.modality)


def describe(report: DegradationReport, degradation: Degradation | None) -> str:
    name = report.shown[0]
    if degradation is None:
        return f'as it is: {name} {report.clean[name]:.2f}'
    found = len(report.measured), len(report.planned)
    return (
        f'{degradation.modality}, {degradation.kind} {degradation.level:g}: {name} '
        f'{report.measured[degradation][name]:.2f}, {report.drop(degradation):.2f} below '
        f'({found[0]} of {found[1]})'
    )


def main() -> None:
    args = parse_args()
    try:
        measure(args)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
