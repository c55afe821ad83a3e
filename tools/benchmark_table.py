"""The paper's Tables I-III: python tools/benchmark_table.py --data city --schedule 400x4 ...

Trains, tests and costs each network under one protocol, one process a run, and writes the tables as
Markdown, CSV, JSON and a plot, the paper's values beside ours. Run again, it goes on where it was
stopped: what is done is not repeated. docs/benchmark.md says what can be compared.
"""

import argparse
import os
import sys
from pathlib import Path

from mobanet_cli.arguments import add_cfg_options

DATA = ('potsdam', 'vaihingen', 'city', 'own')
ROWS = (
    'unet, segnet, fusenet, pspnet, abcnet, dcswin, maresunet, unetformer, vfusenet, cmfnet, '
    'cmgfnet, tmfnet, ftransunet, manet, manet_lora, mobanet_sam_b, mobanet_sam_l, '
    'mobanet_dinov2_b, mobanet_dinov2_l, deeplabv3plus_r50, deeplabv3plus_r50_early_fusion, '
    'upernet_swin_t, upernet_swin_t_early_fusion, segformer_b0, segformer_b0_early_fusion, '
    'segformer_b2, segformer_b2_early_fusion, segnext_t, segnext_t_early_fusion'
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="The paper's Tables I-III under one protocol, resumable",
        epilog=f'rows: {ROWS}',
    )
    parser.add_argument(
        '--data',
        choices=DATA,
        required=True,
        help='archive; city: a synthetic one; own: what the configs of --config name',
    )
    parser.add_argument('--data-root', type=Path, help="folder of the archive, not the configs'")
    parser.add_argument('--networks', nargs='+', metavar='ROW', help='rows; all if left out')
    parser.add_argument(
        '--config', nargs='+', type=Path, default=[], metavar='FILE', help='rows of your own'
    )
    parser.add_argument(
        '--schedule',
        default='paper',
        help="'paper' (50 x 1000 iterations of 12 windows), or ITERATIONSxBATCH: a demonstration",
    )
    parser.add_argument('--seeds', nargs='+', type=int, default=[42], help='one run a row for each')
    parser.add_argument(
        '--window',
        type=int,
        help="side of crops and windows, pixels (default: 256; each config's own with --published "
        'or --data own)',
    )
    parser.add_argument(
        '--published', action='store_true', help="the networks' own published recipes"
    )
    parser.add_argument(
        '--from-scratch', action='store_true', help='look for no pretrained weights'
    )
    parser.add_argument('--work-dir', type=Path, help='folder of the runs and of the tables')
    parser.add_argument('--workers', type=int, default=min(4, os.cpu_count() or 1))
    parser.add_argument('--repeats', type=int, default=20, help='forward passes for the latency')
    add_cfg_options(parser, 'all configs')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.benchmark_table import write_tables  # seconds: after --help

    if not write_tables(args):
        sys.exit(1)


if __name__ == '__main__':
    main()
