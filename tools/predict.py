"""Segment rasters of any size: python tools/predict.py CONFIG CHECKPOINT --rgb A --aux B --out C.

A and B are files, folders (rasters of equal names) or quoted patterns (what the stars stand for);
--pairs names them in a CSV. Under torchrun (--launcher pytorch) or Slurm the processes share the
work; on several machines, all see the files and --out by the same paths.
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import DictAction
from mmengine.dist import get_world_size, is_main_process
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mobanet_mmseg.inference.distributed import (
    LostProcessError,
    OtherProcessError,
    agreed,
    end_processes,
    failing_together,
    gathered,
    open_shared,
    own_strips,
    share_items,
    start_processes,
    write_shared,
)
from mobanet_mmseg.inference.inferencer import MultimodalInferencer
from mobanet_mmseg.inference.maps import NODATA, MapPaths, Maps, count_labels, map_paths, write_maps
from mobanet_mmseg.inference.pairs import Pair, find_pairs, read_pairs
from mobanet_mmseg.inference.trained import aux_kind, open_truth
from mobanet_mmseg.modalities import AuxRange
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.rasters.windows import read_window
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.visualization.pictures import check_ending, render_panels, save_picture
from mobanet_mmseg.writing import check_outputs, prepare_place

LONGER_SIDE = 2400  # pixels that are drawn at most: twice a panel's, which is then drawn by area


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Segment rasters into label GeoTIFFs')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
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
    parser.add_argument('--device', default='auto', help='cpu, cuda:0 ... (default: a GPU if any)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='settings that override the config, as key=value',
    )
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none')
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def list_pairs(args: argparse.Namespace) -> list[Pair]:
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


def read_range(words: list[str] | None) -> str | AuxRange:
    if words is None:
        return 'config'
    if words == ['tile']:
        return AuxRange.parse('tile')
    try:
        low, high = map(float, words)
    except ValueError:
        raise ValueError(
            f"--aux-range got {' '.join(words)}: give 'tile' or two numbers, the lesser first."
        ) from None
    return AuxRange.parse((low, high))


def read_sides(name: str, sides: list[int] | None) -> tuple[int, int] | None:
    if sides is not None and len(sides) > 2:
        raise ValueError(f'--{name} got {len(sides)} numbers: give one, or height and width.')
    return None if sides is None else (sides[0], sides[-1])


def load_inferencer(args: argparse.Namespace) -> MultimodalInferencer:
    batch_size = args.batch_size
    if batch_size not in (None, 'auto'):
        if not batch_size.isdigit():
            raise ValueError(f"--batch-size got {batch_size}: give a number of windows, or 'auto'.")
        batch_size = int(batch_size)
    return MultimodalInferencer(
        args.config,
        args.checkpoint,
        device=args.device,
        modality=args.modality,
        window=read_sides('window', args.window),
        stride=read_sides('stride', args.stride),
        batch_size=batch_size,
        blend=args.blend,
        tta=args.tta,
        amp=args.amp,
        cfg_options=args.cfg_options,
    )


def predict(args: argparse.Namespace) -> list[str]:
    """Predict all pairs; gives this process's sentences of those that could not be."""
    with failing_together():
        jobs = list_jobs(args)
        aux_range = read_range(args.aux_range)
        inferencer = load_inferencer(args)
        for pair, _ in jobs:
            inferencer.check_aux(pair.aux, str(pair.rgb) if len(jobs) > 1 else '')
    jobs = agreed(jobs)  # as the first process lists them: a file may have appeared since
    inferencer.tiling = agreed(inferencer.tiling)  # as it tried them, too
    main_process = is_main_process()
    if main_process:
        count = sum(paths is not None for _, paths in jobs)
        print(f'{count} to predict {describe_windows(inferencer)}', flush=True)
    columns = TextColumn('{task.description}'), BarColumn(), TextColumn('{task.percentage:.0f} %')
    timing = TimeElapsedColumn(), TextColumn('elapsed,'), TimeRemainingColumn(), TextColumn('left')
    failures = []
    own, shared = share_items(jobs)
    # else what is printed would go where the progress goes, also if only that is a terminal
    shown = {'console': Console(stderr=True), 'redirect_stdout': sys.stdout.isatty()}
    with Progress(*columns, *timing, **shown, disable=not main_process) as progress:
        rasters = 'rasters' if shared else f'rasters{share_text()}'
        every = progress.add_task(rasters, total=len(own), visible=len(own) > 1)
        for pair, paths in own:
            try:
                if paths is not None:
                    counts = predict_pair(inferencer, pair, paths, aux_range, shared, progress)
                if is_main_process() or not shared:
                    if paths is not None:
                        print(describe(pair.out, counts, inferencer.classes.names), flush=True)
                    if args.picture is not None:
                        draw(args, inferencer, pair, aux_range)
            except OtherProcessError:
                pass  # the other process tells
            except torch.OutOfMemoryError:
                failures.append(
                    f'{pair.rgb} was not predicted, as the GPU has no memory left: give a smaller '
                    '--batch-size or --window.'
                )
            except (ValueError, OSError) as error:
                failures.append(str(error))
            progress.advance(every)
    return failures


def share_text() -> str:
    """What a bar says where it shows the first process's share alone."""
    return f' (1 of {get_world_size()} shares)' if get_world_size() > 1 else ''


def predict_pair(
    inferencer: MultimodalInferencer,
    pair: Pair,
    paths: MapPaths,
    aux_range: str | AuxRange,
    shared: bool,
    progress: Progress,
) -> np.ndarray:
    """Predict a raster, alone or with the other processes; gives the counts of its labels."""
    progress.live.stop()  # the range of warped heights may be found first, with a bar of its own
    open_pair = partial(open_shared, inferencer) if shared else inferencer.open_pair
    with open_pair(pair.rgb, pair.aux, aux_range) as source:
        strips = inferencer.plan(source)
        own = own_strips(strips) if shared else strips
        rows = inferencer.predict_rows(source, own, **paths.wanted)
        if shared:
            rows = write_shared(rows, strips, paths, source.info, inferencer.classes)
        else:
            rows = write_maps(rows, paths, source.info, inferencer.classes)
        name = Path(pair.rgb).name + (share_text() if shared else '')
        pixels = sum(strip.done.height * strip.done.width for strip in own)
        counts = count_labels(showing(rows, progress, name, pixels))
    return sum(gathered([counts])) if shared else counts


def showing(rows: Iterable[Maps], progress: Progress, name: str, pixels: int) -> Iterator[Maps]:
    """Give the rows, and show how many of their pixels have come."""
    progress.start()
    task = progress.add_task(name, total=pixels)
    try:
        for maps in rows:
            progress.update(task, advance=maps.labels.size)
            yield maps
    finally:
        progress.remove_task(task)


def describe_windows(inferencer: MultimodalInferencer) -> str:
    device, tiling = next(inferencer.model.parameters()).device, inferencer.tiling
    window, stride = (' x '.join(map(str, sides)) for sides in (tiling.window, tiling.stride))
    return (
        f'on {device}: windows of {window} pixels, stride {stride}, {tiling.batch_size} at once, '
        f'blend {tiling.blend or "none"}'
    )


def describe(out: Path, counts: np.ndarray, classes: Sequence[str]) -> str:
    lines = [f'{out}: {counts.sum():,} pixels']
    for index, name in enumerate([*classes, 'no data']):
        value = index if index < len(classes) else NODATA
        lines.append(f'  {name:<24}{counts[value] / counts.sum():8.2%}')
    return '\n'.join(lines)


def draw(
    args: argparse.Namespace,
    inferencer: MultimodalInferencer,
    pair: Pair,
    aux_range: str | AuxRange,
) -> None:
    """Draw each n-th row and column of what the model saw and of what it made of it."""
    rgb, predicted, true = [], [], []
    config = inferencer.model.cfg
    with inferencer.open_pair(pair.rgb, pair.aux, aux_range) as source:
        info = source.info
        truth = None if args.label is None else open_truth(config, info.path, args.label)
        step = -(-max(info.height, info.width) // LONGER_SIDE)
        for row in range(0, info.height, step):
            window = Window(row, 0, 1, info.width)
            rgb.append(source.read(window)[0][:, 0, ::step].T)
            predicted.append(read_window(pair.out, (1,), window)[0, ::step, 0])
            if truth is not None:
                true.append(truth(window)[0, ::step])
    stack, num_optical = np.stack(rgb), len(inferencer.spec.img_bands)
    picture = render_panels(
        rgb=stack[..., :num_optical],
        aux=stack[..., num_optical:],
        truth=np.stack(true) if true else None,
        prediction=np.stack(predicted),
        classes=inferencer.classes,
        aux_kind=aux_kind(config),
    )
    save_picture(args.picture, picture)
    print(args.picture)


def predict_with_others(args: argparse.Namespace) -> list[str]:
    """Predict with the processes of the launcher; gives the sentences of all."""
    failures = []
    try:
        start_processes(args.launcher)
        failures = predict(args)
    except OtherProcessError:
        pass  # the other process tells
    except (ValueError, OSError) as error:  # the user's mistakes, each one sentence
        failures = [str(error)]
    return gathered(failures)


def main() -> None:
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        failures = predict_with_others(args)
    except LostProcessError as error:
        sys.exit(f'error: {error}' if is_main_process() else 1)
    if is_main_process():
        for sentence in failures:
            print(f'error: {sentence}', file=sys.stderr, flush=True)
    end_processes()
    if failures:
        sys.exit(1)


if __name__ == '__main__':
    main()
