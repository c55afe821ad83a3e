"""What the command of prediction predicts, and which files that gives."""

import argparse
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from mobanet_mmseg.inference.maps import MapPaths, map_paths
from mobanet_mmseg.inference.pairs import Pair, find_pairs, read_pairs
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.vectors.sidecars import (
    Sidecars,
    plan_sidecars,
    refuse_twice,
    sidecar_options,
)
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


class Job(NamedTuple):
    """One raster's prediction.

    Args:
        pair: What is read.
        paths: Maps to write; None where they are there, and only what is made of them is not.
        sidecars: What is made of the label map.
    """

    pair: Pair
    paths: MapPaths | None
    sidecars: Sidecars


def list_jobs(args: argparse.Namespace) -> list[Job]:
    """Say what is predicted and which files that gives, none of which is read, or written twice.

    Args:
        args: What tools/predict.py was told.

    Raises:
        FileNotFoundError: If a file is missing.
        OSError: If a folder of outputs cannot be written to.
        ValueError: If the arguments contradict each other, or the rasters do not pair up, or a file
            would be written twice or over what is read.
    """
    wanted = {'probabilities': args.probabilities, 'confidence': args.confidence, 'cog': args.cog}
    pairs = list_pairs(args)
    options = sidecar_options(args, len(pairs))
    jobs = [
        Job(pair, map_paths(pair.out, **wanted), plan_sidecars(pair.out, **options))
        for pair in pairs
    ]
    maps = [path for job in jobs for path in job.paths.files]
    twice = [path for path, count in Counter(map(Path.resolve, maps)).items() if count > 1]
    if twice:
        raise ValueError(
            f'{twice[0]} would be written twice, as the map of one raster and beside the labels of '
            'another one: give a CSV of pairs with a column out.'
        )
    written = [*maps, *(path for job in jobs for path in job.sidecars.files)]
    refuse_twice(written)
    rasters = [path for pair in pairs for path in (pair.rgb, pair.aux)]
    others = [args.config, args.checkpoint, args.pairs, args.zones]
    read = [*files_behind(*rasters, args.label), *(path for path in others if path is not None)]
    check_outputs([*written, args.picture], read)
    if args.picture is not None:
        prepare_place(args.picture)
    if args.skip_existing:
        drawn = args.picture is None or Path(args.picture).exists()
        jobs = [left for job in jobs if (left := _what_is_left(job, drawn)) is not None]
    return jobs


def _what_is_left(job: Job, drawn: bool) -> Job | None:
    """What of a job is not there yet."""
    if not job.pair.out.exists():
        return job
    made = all(path.exists() for path in job.sidecars.files)
    if made and drawn:
        return None
    return job._replace(paths=None, sidecars=Sidecars() if made else job.sidecars)
