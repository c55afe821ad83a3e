"""Convert rasters of your own into tiles to train on: raster_pair.py --rgb A --aux B --out DIR."""

import argparse


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Cut an optical raster, an auxiliary one and labels, each in any CRS, '
        'resolution and extent, into tiles on the optical grid, split by area',
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('--rgb', required=True, help='optical raster')
    parser.add_argument('--aux', required=True, help='auxiliary raster: height, SAR, more bands')
    parser.add_argument('--label', help='labels: a raster, or polygons (GeoJSON, GeoPackage ...)')
    parser.add_argument('--out', required=True, help='folder to write')
    parser.add_argument('--tile', type=int, default=1024, help='side of a tile, pixels')
    parser.add_argument(
        '--min-side',
        type=int,
        default=256,
        help='least side of a tile at the edge, pixels; a narrower rest joins the tile before it',
    )
    parser.add_argument('--test-share', type=float, default=0.2, help='fraction for the test')
    parser.add_argument(
        '--block', type=int, default=2, help='side of the blocks that are split, tiles'
    )
    parser.add_argument(
        '--gap',
        type=int,
        default=0,
        help='pixels to keep between training and test tiles; nearer training tiles are left out',
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the split')
    told = parser.add_mutually_exclusive_group()
    told.add_argument(
        '--classes', nargs='+', metavar='NAME=VALUE', help='value of each class, in their order'
    )
    told.add_argument(
        '--colors', nargs='+', metavar='NAME=R,G,B', help='colour of each class, in their order'
    )
    told.add_argument('--burn', metavar='NAME', help='class of all polygons, whatever attributes')
    parser.add_argument('--attribute', help='attribute of the polygons that --classes are about')
    parser.add_argument(
        '--background', metavar='NAME', help='class of what no polygon covers, else no label'
    )
    parser.add_argument(
        '--ignore',
        nargs='+',
        default=[],
        metavar='VALUE',
        help="values that are no label; 'other' is all that no class names",
    )
    parser.add_argument(
        '--resampling',
        choices=('bilinear', 'nearest', 'cubic'),
        default='bilinear',
        help='how the auxiliary raster is warped',
    )
    parser.add_argument('--rgb-bands', nargs='+', type=int, help='bands to write (all but alpha)')
    parser.add_argument('--aux-bands', nargs='+', type=int, help='bands to write (all but alpha)')
    parser.add_argument('--overwrite', action='store_true', help='replace an earlier conversion')
    args = parser.parse_args()
    if args.burn is not None and (args.attribute is not None or args.ignore):
        parser.error('--burn makes all polygons one class: leave --attribute and --ignore out')
    if args.background is not None and args.attribute is None and args.burn is None:
        parser.error('--background is about polygons: give their --attribute or --burn, too')
    return args


def main() -> None:
    args = parse_args()
    from mobanet_mmseg.commands.raster_pair import convert_pair  # seconds: after --help

    convert_pair(args)


if __name__ == '__main__':
    main()
