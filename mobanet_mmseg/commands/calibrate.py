"""Fit a temperature, check it, and write what was asked for."""

import argparse
import sys

from mobanet_mmseg.experiments.calibration import FILES, CalibrationReport
from mobanet_mmseg.inference.calibration import (
    Calibrator,
    Tile,
    labelled_tiles,
    write_calibrated,
)
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.writing import check_outputs, prepare_place

SETTINGS = (
    'device',
    'modality',
    'window',
    'stride',
    'blend',
    'tta',
    'amp',
    'batch_size',
    'cfg_options',
)


@ending_in_one_sentence()
def calibrate(args: argparse.Namespace) -> None:
    """Fit a temperature, check it, and write what was asked for.

    Args:
        args: What tools/analysis_tools/calibrate.py was told.
    """
    for name in ('bins', 'pixels'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} got {getattr(args, name)}: give a number above 0.')
    if args.report is not None and args.check == 'none':
        raise ValueError('--report tells what was checked, and --check is none: leave one out.')
    settings = {name: getattr(args, name) for name in SETTINGS}
    inferencer = MultimodalInferencer(args.config, args.checkpoint, **settings)
    config = inferencer.model.cfg
    fit = labelled_tiles(config, args.fit)
    check = None if args.check == 'none' else labelled_tiles(config, args.check)
    _check_places(args, [*fit, *(check or ())])
    calibrator = Calibrator(inferencer, args.bins, args.pixels, args.seed, _show)
    found = calibrator.calibrate(fit, check)
    fitted_on = (
        f'{found.num_sampled:,} pixels of {len(fit)} tiles ({args.fit}), '
        f'modality {args.modality}, tta {args.tta or "none"}'
    )
    print(f'temperature {found.temperature:.4f}, fitted on {fitted_on}')
    if found.before is not None:
        facts = {name: str(vars(args)[name]) for name in ('config', 'checkpoint', 'check', 'seed')}
        facts |= {'fitted on': fitted_on, 'pixels checked': f'{found.before.num_pixels:,}'}
        before = inferencer.model.temperature
        report = CalibrationReport(found, before, inferencer.classes.names, facts)
        print(report.markdown())
        if args.report is not None:
            print('\n'.join(map(str, report.write(args.report))))
    if args.out is not None:
        write_calibrated(args.checkpoint, args.out, found.temperature, fitted_on)
        print(args.out)


def _check_places(args: argparse.Namespace, tiles: list[Tile]) -> None:
    """Refuse outputs that are read, or cannot be written, before anything is predicted."""
    outputs = [] if args.report is None else [args.report / name for name in FILES]
    outputs += [] if args.out is None else [args.out]
    keys = ('img_path', 'aux_path', 'seg_map_path')
    rasters = files_behind(*(tile.get(key) for tile in tiles for key in keys))
    check_outputs(outputs, [args.config, args.checkpoint, *rasters])
    for path in outputs:
        prepare_place(path)


def _show(path: str) -> None:
    print(path, file=sys.stderr, flush=True)
