"""Where DGFM's gates look: python tools/analysis_tools/gate_report.py CONFIG CHECKPOINT --out DIR.

Runs over the test tiles of the config, or over a pair of rasters (--rgb, --aux, --label), and says
how much of each class comes from the auxiliary image, stage by stage; draws the gates over each
tile, and writes them as GeoTIFFs if asked to.
"""

import argparse
from pathlib import Path

from mobanet_cli.arguments import add_cfg_options, add_checkpoint, add_device, add_modality


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="What DGFM's gates take from the auxiliary image, by class, stage and pixel"
    )
    add_checkpoint(parser)
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
    add_modality(parser)
    add_device(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.configs import read_config  # seconds: after --help
    from mobanet_mmseg.experiments.gate_report import watch_tiles
    from mobanet_mmseg.experiments.tiles import check_places, find_tiles
    from mobanet_mmseg.inference.inferencer import MultimodalInferencer
    from mobanet_mmseg.mistakes import ending_in_one_sentence

    with ending_in_one_sentence():
        config = read_config(args.config, args.cfg_options)
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
