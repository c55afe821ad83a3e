"""Convert rasters of one's own into tiles to train on."""

import argparse

from mobanet_mmseg.conversion.labels import one_class, parse_codes
from mobanet_mmseg.conversion.raster_pair import Cutting, RasterPair, convert
from mobanet_mmseg.mistakes import ending_in_one_sentence


@ending_in_one_sentence()
def convert_pair(args: argparse.Namespace) -> None:
    """Convert rasters of one's own into tiles to train on.

    Args:
        args: What tools/dataset_converters/raster_pair.py was told.
    """
    codes = None
    if args.label is not None and args.burn is not None:
        codes = one_class(args.burn, args.background)
    elif args.label is not None:
        kind = 'color' if args.colors else 'value' if args.attribute is None else 'attribute'
        pairs = args.colors or args.classes or []
        codes = parse_codes(kind, pairs, args.ignore, args.background)
    pair = RasterPair(
        args.rgb, args.aux, args.label, codes, args.attribute, args.rgb_bands, args.aux_bands
    )
    cutting = Cutting(
        tile=args.tile,
        min_side=args.min_side,
        test_share=args.test_share,
        block=args.block,
        gap=args.gap,
        seed=args.seed,
        resampling=args.resampling,
    )
    print(convert(pair, args.out, cutting, overwrite=args.overwrite))
