"""Measure the test set as it is and degraded, level by level."""

import argparse

from mmengine.dist import is_main_process

from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.engine.degradation import measure_degradations
from mobanet_mmseg.engine.launch import load_config
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.experiments.degradation import FILES, DegradationReport, plan
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.models.degradation import MODALITIES, Degradation
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.visualization.pictures import rasters_of
from mobanet_mmseg.writing import check_outputs, prepare_place

FACTS = ('config', 'checkpoint', 'seed', 'block', 'cfg_options')


@ending_in_one_sentence()
def measure(args: argparse.Namespace) -> None:
    """Measure the test set as it is and degraded, level by level.

    Args:
        args: What tools/analysis_tools/degradation.py was told.
    """
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
            print(_describe(report, degradation), flush=True)
            report.write(args.out, pictures=_ends_a_curve(degradation, missing))
    if is_main_process():
        if not missing:  # all was measured before
            report.write(args.out)
        print('\n'.join(map(str, outputs)))


def _ends_a_curve(degradation: Degradation | None, missing: list[Degradation | None]) -> bool:
    after = missing[missing.index(degradation) + 1 :]
    if degradation is None or not after:
        return True
    return (after[0].kind, after[0].modality) != (degradation.kind, degradation.modality)


def _describe(report: DegradationReport, degradation: Degradation | None) -> str:
    name = report.shown[0]
    if degradation is None:
        return f'as it is: {name} {report.clean[name]:.2f}'
    found = len(report.measured), len(report.planned)
    return (
        f'{degradation.modality}, {degradation.kind} {degradation.level:g}: {name} '
        f'{report.measured[degradation][name]:.2f}, {report.drop(degradation):.2f} below '
        f'({found[0]} of {found[1]})'
    )
