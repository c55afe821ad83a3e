"""Measure the test set with both modalities, with a part, and with one alone."""

import argparse

from mmengine.dist import is_main_process

from mobanet_mmseg.engine.launch import load_config
from mobanet_mmseg.engine.modality_report import ModalityReport, measure_modalities
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.visualization.pictures import rasters_of
from mobanet_mmseg.writing import check_outputs


@ending_in_one_sentence()
def measure(args: argparse.Namespace) -> None:
    """Measure the test set with both modalities, with a part, and with one alone.

    Args:
        args: What tools/analysis_tools/modality_report.py was told.
    """
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
        print('\n'.join(_describe(report)))
        if args.out is not None:
            report.write(args.out)
            print(args.out)


def _describe(report: ModalityReport) -> list[str]:
    lines = [str(report.table()), 'drop: points below both']
    if report.bounds:
        lines.append('bound: of a network that was trained on that modality alone')
    if report.absent:
        lines.append(str(report.absence_table()))
    if report.without_aux is not None:
        lines.append(f'without auxiliary data in the files: {report.without_aux:.2f} % of the area')
    return lines + [f'warning: {sentence}' for sentence in report.warnings]
