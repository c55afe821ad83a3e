"""Where DGFM's gates look: python tools/analysis_tools/gate_report.py CONFIG CHECKPOINT --out DIR.

Runs over the test tiles of the config, or over a pair of rasters (--rgb, --aux, --label), and says
how much of each class comes from the auxiliary image, stage by stage; draws the gates over each
tile, and writes them as GeoTIFFs if asked to.
"""

import argparse
from pathlib import Path

from mmengine.config import DictAction

import mobanet_mmseg  # noqa: F401  (patches the stack and registers the components)
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.engine.launch import ending_in_one_sentence
from mobanet_mmseg.experiments.gate_report import watch_tiles
from mobanet_mmseg.experiments.tiles import check_places, find_tiles
from mobanet_mmseg.inference.inferencer import MultimodalInferencer


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What DGFM's gates take from the auxiliary image, by class, stage and pixel"
    )
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, type=Path, help='folder of tables and pictures')
    parser.add_argument(
        '--tiles', nargs='+', metavar='NAME', help='of the test tiles these alone, by their stems'
    )
    parser.add_argument('--rgb', help='optical raster, in the place of the test tiles')
    parser.add_argument('--aux', help='its auxiliary raster; warped if need be')
    parser.add_argument('--label', help='its labels')
    parser.add_argument(
        '--geotiff',
        action='store_true',
        help='also the weight of aux, a band a stage, 1/254 a step',
    )
    parser.add_argument(
        '--modality',
        choices=['both', 'rgb', 'aux'],
        default='both',
        help='what the network gets; the other one is 0 after normalisation',
    )
    parser.add_argument('--device', default='auto', help='cpu, cuda:0 ... (default: a GPU if any)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    with ending_in_one_sentence():
        config = read_config(args.config)
        config.merge_from_dict(args.cfg_options or {})
        tiles = find_tiles(config, args.tiles, args.rgb, args.aux, args.label)
        check_places(tiles, [args.config, args.checkpoint], args.out)
        inferencer = MultimodalInferencer(
            args.config,
            args.checkpoint,
            device=args.device,
            modality=args.modality,
            cfg_options=args.cfg_options,
        )
        report = watch_tiles(inferencer, tiles, args.out, args.geotiff)
    if report is not None:
        print(report.markdown())
    print(f'{args.out}: {len(tiles)} tiles')


if __name__ == '__main__':
    main()
