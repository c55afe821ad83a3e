"""Confidence that means it: python tools/analysis_tools/calibrate.py CONFIG CKPT --out CKPT2.

Fits a temperature on the labels of one split, checks it on tiles that it was not fitted on, and
writes a copy of the checkpoint with it. Prediction with the copy gives the same labels, and
probabilities and confidence by that temperature.
"""

import argparse
import sys
from pathlib import Path

from mmengine.config import DictAction

from mobanet_mmseg.evaluation.calibration import NUM_BINS
from mobanet_mmseg.experiments.calibration import FILES, CalibrationReport
from mobanet_mmseg.inference.calibration import (
    NUM_PIXELS,
    Calibrator,
    Tile,
    labelled_tiles,
    write_calibrated,
)
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.writing import check_outputs, prepare_place


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Fit the temperature of the confidence, and measure how far that is right'
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', type=Path, help='copy of the checkpoint with the temperature')
    parser.add_argument(
        '--report', type=Path, help='folder of the reliability diagrams and the tables'
    )
    parser.add_argument(
        '--fit', choices=['val', 'test'], default='val', help='split to fit on (default: val)'
    )
    parser.add_argument(
        '--check',
        choices=['val', 'test', 'none'],
        default='test',
        help='split to check on (default: test); where it has no other tiles than those of --fit, '
        'each half of them is checked by the temperature of the other half',
    )
    parser.add_argument('--bins', type=int, default=NUM_BINS, help='bins of the confidence')
    parser.add_argument(
        '--pixels', type=int, default=NUM_PIXELS, help='pixels of the sample to fit on'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the sample')
    model = parser.add_argument_group('model, as it will predict')
    model.add_argument('--modality', choices=['both', 'rgb', 'aux'], default='both')
    model.add_argument(
        '--tta', nargs='?', const='d4', choices=['flips', 'd4'], help='as of tools/predict.py'
    )
    model.add_argument('--window', type=int, help='side, pixels (default: test_cfg of the config)')
    model.add_argument('--stride', type=int, help='step, pixels')
    model.add_argument('--blend', choices=['none', 'gaussian', 'cosine'])
    model.add_argument('--amp', choices=['bf16', 'fp16'], help='type of autocast')
    model.add_argument('--batch-size', type=int, help='windows at once')
    model.add_argument('--device', default='auto', help='cpu, cuda:0 ... (default: a GPU if any)')
    model.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    return parser.parse_args()


def calibrate(args: argparse.Namespace) -> None:
    for name in ('bins', 'pixels'):
        if getattr(args, name) < 1:
            raise ValueError(f'--{name} got {getattr(args, name)}: give a number above 0.')
    if args.report is not None and args.check == 'none':
        raise ValueError('--report tells what was checked, and --check is none: leave one out.')
    inferencer = MultimodalInferencer(
        args.config,
        args.checkpoint,
        device=args.device,
        modality=args.modality,
        window=args.window,
        stride=args.stride,
        blend=args.blend,
        tta=args.tta,
        amp=args.amp,
        batch_size=args.batch_size,
        cfg_options=args.cfg_options,
    )
    config = inferencer.model.cfg
    fit = labelled_tiles(config, args.fit)
    check = None if args.check == 'none' else labelled_tiles(config, args.check)
    check_places(args, [*fit, *(check or ())])
    calibrator = Calibrator(inferencer, args.bins, args.pixels, args.seed, show)
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


def check_places(args: argparse.Namespace, tiles: list[Tile]) -> None:
    """Refuse outputs that are read, or cannot be written, before anything is predicted."""
    outputs = [] if args.report is None else [args.report / name for name in FILES]
    outputs += [] if args.out is None else [args.out]
    keys = ('img_path', 'aux_path', 'seg_map_path')
    rasters = files_behind(*(tile.get(key) for tile in tiles for key in keys))
    check_outputs(outputs, [args.config, args.checkpoint, *rasters])
    for path in outputs:
        prepare_place(path)


def show(path: str) -> None:
    print(path, file=sys.stderr, flush=True)


def main() -> None:
    args = parse_args()
    try:
        calibrate(args)
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        sys.exit(f'error: {error}')


if __name__ == '__main__':
    main()
