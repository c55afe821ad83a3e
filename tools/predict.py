"""Segment rasters of any size: python tools/predict.py CONFIG CHECKPOINT --rgb A --aux B --out C.

A and B are files, folders (rasters of equal names) or quoted patterns (what the stars stand for);
--pairs names them in a CSV. Under torchrun (--launcher pytorch) or Slurm the processes share the
work; on several machines, all see the files and --out by the same paths.
"""

import argparse
import sys

from mobanet_cli.arguments import add_cfg_options, add_device, add_launcher, add_sidecars


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Segment rasters into label GeoTIFFs')
    parser.add_argument('config', help='config file, or a model that export_onnx.py wrote (.onnx)')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; none beside an .onnx')
    files = parser.add_argument_group('files')
    files.add_argument('--rgb', help='optical raster, folder of them, or quoted pattern')
    files.add_argument('--aux', help='auxiliary raster, folder or pattern; warped if need be')
    files.add_argument('--pairs', help='CSV: rgb, aux (empty where missing), out')
    files.add_argument('--out', help='label map to write; a folder for several')
    files.add_argument(
        '--probabilities', action='store_true', help='also *_probabilities.tif, 1/254 a step'
    )
    files.add_argument('--confidence', action='store_true', help='also *_confidence.tif')
    files.add_argument(
        '--cog', action='store_true', help='write Cloud Optimized GeoTIFFs with overviews'
    )
    files.add_argument(
        '--skip-existing', action='store_true', help='leave out what has its label map already'
    )
    files.add_argument('--label', help='labels of the one raster, for the picture')
    files.add_argument(
        '--picture',
        help='PNG or JPEG to draw of the one raster: both images, truth, prediction, errors',
    )
    add_sidecars(parser.add_argument_group('made of the label map, beside it'))
    model = parser.add_argument_group('model')
    model.add_argument(
        '--aux-range',
        nargs='+',
        metavar='tile | LO HI',
        help="auxiliary values that become 0 and 1 (default: the config's)",
    )
    model.add_argument(
        '--modality',
        choices=['both', 'rgb', 'aux'],
        default='both',
        help='what the network gets; with rgb, --aux may be left out',
    )
    model.add_argument(
        '--tta',
        nargs='?',
        const='d4',
        choices=['flips', 'd4'],
        help='average over 4 flips, or over 8 flips and quarter turns (default where alone)',
    )
    model.add_argument('--amp', choices=['bf16', 'fp16'], help='type of autocast')
    windows = parser.add_argument_group('windows (default: test_cfg of the config)')
    windows.add_argument('--window', nargs='+', type=int, help='side, or height and width, pixels')
    windows.add_argument('--stride', nargs='+', type=int, help='step, or steps down and right')
    windows.add_argument('--blend', choices=['none', 'gaussian', 'cosine'])
    windows.add_argument('--batch-size', help='windows at once, or auto to try what is fastest')
    add_device(parser)
    add_cfg_options(parser)
    add_launcher(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.inference.prediction_run import run_prediction  # seconds: after --help

    if run_prediction(args):
        sys.exit(1)


if __name__ == '__main__':
    main()
