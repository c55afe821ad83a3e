"""What the command of prediction predicts, and which files that gives."""

import argparse
from collections import Counter
from pathlib import Path

from mobanet_mmseg.inference.maps import MapPaths, map_paths
from mobanet_mmseg.inference.pairs import Pair, find_pairs, read_pairs
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.visualization.pictures import check_ending
from mobanet_mmseg.writing import check_outputs, prepare_place


def list_pairs(args: argparse.Namespace) -> list[Pair]:
    """Say which rasters are predicted, and where to, as the arguments of the command say it.

    Args:
        args: See :func:`list_jobs`.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the arguments contradict each other, or the rasters do not pair up.
    """
    if (args.pairs is None) == (args.rgb is None) or (args.pairs and args.aux):
        raise ValueError('Give --rgb and --aux, or --pairs with a CSV, and not both.')
    if args.out is None and args.pairs is None:
        raise ValueError('Give --out, the label map to write.')
    if args.pairs is not None:
        pairs = read_pairs(args.pairs, args.out)
    else:
        pairs = find_pairs(args.rgb, args.aux, args.out)
    if args.picture is not None or args.label is not None:
        if len(pairs) > 1:
            raise ValueError(f'--picture and --label are for one raster, but {len(pairs)} came.')
        if args.picture is None:
            raise ValueError('--label is drawn into a picture: give --picture too.')
        check_ending(args.picture)
        if args.label is not None:
            read_info(args.label)  # before anything is predicted
    return pairs


def list_jobs(args: argparse.Namespace) -> list[tuple[Pair, MapPaths | None]]:
    """Say what is predicted and which files that gives, none of which is read, or written twice.

    Where the maps are there already and the picture is not, that alone is made: no paths.

    Args:
        args: What tools/predict.py was told.

    Raises:
        FileNotFoundError: If a file is missing.
        OSError: If a folder of outputs cannot be written to.
        ValueError: If the arguments contradict each other, or the rasters do not pair up, or a file
            would be written twice or over what is read.
    """
    wanted = {'probabilities': args.probabilities, 'confidence': args.confidence, 'cog': args.cog}
    jobs = [(pair, map_paths(pair.out, **wanted)) for pair in list_pairs(args)]
    written = [path for _, paths in jobs for path in paths.files]
    twice = [path for path, count in Counter(map(Path.resolve, written)).items() if count > 1]
    if twice:
        raise ValueError(
            f'{twice[0]} would be written twice, as the map of one raster and beside the labels of '
            'another one: give a CSV of pairs with a column out.'
        )
    rasters = [path for pair, _ in jobs for path in (pair.rgb, pair.aux)]
    others = [path for path in (args.config, args.checkpoint, args.pairs) if path is not None]
    check_outputs([*written, args.picture], [*files_behind(*rasters, args.label), *others])
    if args.picture is not None:
        prepare_place(args.picture)
    if args.skip_existing:
        drawn = args.picture is None or Path(args.picture).exists()
        jobs = [(pair, None if pair.out.exists() else paths) for pair, paths in jobs]
        jobs = [(pair, paths) for pair, paths in jobs if paths is not None or not drawn]
    return jobs
