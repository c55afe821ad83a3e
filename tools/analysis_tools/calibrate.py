"""Confidence that means it: python tools/analysis_tools/calibrate.py CONFIG CKPT --out CKPT2.

Fits a temperature on the labels of one split, checks it on tiles that it was not fitted on, and
writes a copy of the checkpoint with it. Prediction with the copy gives the same labels, and
probabilities and confidence by that temperature.
"""

import argparse
from pathlib import Path

from mobanet_cli.arguments import MODALITIES, add_cfg_options, add_checkpoint, add_device


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Fit the temperature of the confidence, and measure how far that is right'
    )
    add_checkpoint(parser)
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
    parser.add_argument('--bins', type=int, default=15, help='bins of the confidence')
    parser.add_argument(
        '--pixels', type=int, default=1_000_000, help='pixels of the sample to fit on'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the sample')
    model = parser.add_argument_group('model, as it will predict')
    model.add_argument('--modality', choices=MODALITIES, default='both')
    model.add_argument(
        '--tta', nargs='?', const='d4', choices=['flips', 'd4'], help='as of tools/predict.py'
    )
    model.add_argument('--window', type=int, help='side, pixels (default: test_cfg of the config)')
    model.add_argument('--stride', type=int, help='step, pixels')
    model.add_argument('--blend', choices=['none', 'gaussian', 'cosine'])
    model.add_argument('--amp', choices=['bf16', 'fp16'], help='type of autocast')
    model.add_argument('--batch-size', type=int, help='windows at once')
    add_device(model)
    add_cfg_options(model)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.calibrate import calibrate  # seconds: after --help

    calibrate(args)


if __name__ == '__main__':
    main()
