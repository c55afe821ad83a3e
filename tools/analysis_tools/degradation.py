"""What degraded images cost a model: python tools/analysis_tools/degradation.py CONFIG CKPT.

Measures the test set as it is, and with one modality masked, noisy, blurred, shifted against the
other or of a lower resolution, level by level. Writes tables and a curve for each class.
"""

import argparse
from pathlib import Path

from mobanet_cli.arguments import add_checkpoint, add_runner_arguments

KINDS = ('mask', 'noise', 'blur', 'shift', 'resolution')
LEVELS = (
    'Levels where --levels does not say: mask=0.25,0.5,0.75,1 (share of the area); '
    'noise=0.25,0.5,1,2 (standard deviation, in those of the image); blur=1,2,4,8 (standard '
    'deviation, pixels); shift=2,4,8,16 (pixels); resolution=2,4,8,16 (times the side of a pixel)'
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Metrics on the test set as it is, and with one modality degraded',
        epilog=LEVELS,
    )
    add_checkpoint(parser)
    parser.add_argument(
        '--out', type=Path, default=Path('degradation'), help='folder of the tables and curves'
    )
    parser.add_argument(
        '--of',
        nargs='+',
        choices=['rgb', 'aux'],
        help='modalities to degrade (default: all there are)',
    )
    parser.add_argument(
        '--kinds', nargs='+', choices=KINDS, default=list(KINDS), help='ways to degrade them'
    )
    parser.add_argument(
        '--levels', nargs='+', default=[], metavar='KIND=LEVEL,LEVEL', help='such as blur=1,2,4'
    )
    parser.add_argument(
        '--resume', action='store_true', help='leave out what the folder has of the same command'
    )
    parser.add_argument('--block', type=int, default=64, help='side of masked blocks, pixels')
    parser.add_argument('--seed', type=int, default=0, help='of masks, noise and directions')
    add_runner_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.degradation import measure  # seconds: after --help

    measure(args)


if __name__ == '__main__':
    main()
