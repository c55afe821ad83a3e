"""What speaks for a class: response_maps.py --run NAME CONFIG CHECKPOINT --class C --out PICTURE.

Draws gradient-weighted response maps (Grad-CAM) of the fused, the rgb and the aux branch, of one or
several checkpoints (--run again) side by side, on a test tile of the first one's config or on a
pair of rasters.
"""

import argparse
import sys
from pathlib import Path

from mobanet_cli.arguments import add_cfg_options, add_device


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Class-specific response maps of the fused, the rgb and the aux branch'
    )
    parser.add_argument(
        '--run',
        nargs=3,
        action='append',
        required=True,
        metavar=('NAME', 'CONFIG', 'CHECKPOINT'),
        help='a checkpoint; again for each further one',
    )
    parser.add_argument('--class', required=True, dest='name', help='name of the class')
    parser.add_argument('--out', required=True, type=Path, help='PNG or JPEG to draw')
    parser.add_argument('--tile', help="the test tile, by its stem (default: the first one's)")
    parser.add_argument('--rgb', help='optical raster, in the place of a test tile')
    parser.add_argument('--aux', help='its auxiliary raster; warped if need be')
    parser.add_argument('--label', help='its labels')
    parser.add_argument(
        '--region',
        nargs=4,
        type=int,
        metavar=('ROW', 'COL', 'HEIGHT', 'WIDTH'),
        help='part of the tile, pixels (default: all of it)',
    )
    parser.add_argument('--stage', type=int, help='one stage alone, from 1 (default: all)')
    add_device(parser)
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.configs import read_config  # seconds: after --help
    from mobanet_mmseg.experiments.response_report import Trained, report_responses
    from mobanet_mmseg.experiments.tiles import check_places, find_tiles
    from mobanet_mmseg.mistakes import ending_in_one_sentence
    from mobanet_mmseg.visualization.pictures import check_ending, save_picture

    trained = [Trained(name, Path(config), Path(path)) for name, config, path in args.run]
    if len({each.name for each in trained}) < len(trained):
        sys.exit('error: Two runs have one name: give each --run a name of its own.')
    with ending_in_one_sentence():
        check_ending(args.out)
        config = read_config(trained[0].config, args.cfg_options)
        names = None if args.tile is None else [args.tile]
        tile = find_tiles(config, names, args.rgb, args.aux, args.label)[0]
        files = [path for each in trained for path in (each.config, each.checkpoint)]
        check_places([tile], files, args.out)
        report = report_responses(
            trained,
            tile,
            args.name,
            region=args.region,
            stage=args.stage,
            device=args.device,
            cfg_options=args.cfg_options,
        )
        save_picture(args.out, report.picture)
    print(report.table().markdown())
    print(args.out)


if __name__ == '__main__':
    main()
