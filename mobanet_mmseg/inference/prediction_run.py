"""The command of prediction: many rasters or one, in one process or several, with progress."""

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
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
from mobanet_mmseg.inference.maps import NODATA, Maps, count_labels, write_maps
from mobanet_mmseg.inference.onnx_inferencer import OnnxInferencer
from mobanet_mmseg.inference.onnx_settings import is_onnx
from mobanet_mmseg.inference.pair_inferencer import PairInferencer
from mobanet_mmseg.inference.pairs import Pair
from mobanet_mmseg.inference.prediction_jobs import Job, list_jobs
from mobanet_mmseg.inference.prediction_picture import draw_pair
from mobanet_mmseg.mistakes import sentence_of
from mobanet_mmseg.modalities import AuxRange
from mobanet_mmseg.vectors.sidecars import write_sidecars


def run_prediction(args: argparse.Namespace) -> int:
    """Predict what the command's arguments say, with the other processes of its launcher.

    What could not be predicted is told on standard error, each in a sentence.

    Args:
        args: What tools/predict.py was told.

    Returns:
        The exit code, 1 if anything failed.
    """
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    try:
        failures = _predict_with_others(args)
    except LostProcessError as error:
        if is_main_process():
            print(f'error: {error}', file=sys.stderr, flush=True)
        return 1
    if is_main_process():
        for sentence in failures:
            print(f'error: {sentence}', file=sys.stderr, flush=True)
    end_processes()
    return 1 if failures else 0


def _predict_with_others(args: argparse.Namespace) -> list[str]:
    """Predict with the processes of the launcher; gives the sentences of all."""
    failures = []
    try:
        start_processes(args.launcher)
        failures = _predict(args)
    except OtherProcessError:
        pass  # the other process tells
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        failures = [sentence]
    return gathered(failures)


def _predict(args: argparse.Namespace) -> list[str]:
    """Predict all pairs; gives this process's sentences of those that could not be."""
    with failing_together():
        jobs = list_jobs(args)
        aux_range = _read_range(args.aux_range)
        inferencer = _load_inferencer(args)
        for job in jobs:
            inferencer.check_aux(job.pair.aux, str(job.pair.rgb) if len(jobs) > 1 else '')
    jobs = agreed(jobs)  # as the first process lists them: a file may have appeared since
    inferencer.tiling = agreed(inferencer.tiling)  # as it tried them, too
    if is_main_process():
        count = sum(job.paths is not None for job in jobs)
        print(f'{count} to predict {_describe_windows(inferencer)}', flush=True)
    failures = []
    own, shared = share_items(jobs)
    with _progress() as progress:
        rasters = 'rasters' if shared else f'rasters{_share_text()}'
        every = progress.add_task(rasters, total=len(own), visible=len(own) > 1)
        for job in own:
            with _keeping(failures, job.pair):
                counts = None
                if job.paths is not None:
                    counts = _predict_pair(inferencer, job, aux_range, shared, progress)
                if is_main_process() or not shared:
                    _finish_pair(args, inferencer, job, counts, aux_range)
            progress.advance(every)
    return failures


@contextmanager
def _keeping(failures: list[str], pair: Pair) -> Iterator[None]:
    """Keep the sentence of a pair that cannot be predicted, so that the next ones are."""
    try:
        yield
    except OtherProcessError:
        pass  # the other process tells
    except torch.OutOfMemoryError:
        failures.append(
            f'{pair.rgb} was not predicted, as the GPU has no memory left: give a smaller '
            '--batch-size or --window.'
        )
    except (ValueError, OSError) as error:
        failures.append(str(error))


def _finish_pair(
    args: argparse.Namespace,
    inferencer: PairInferencer,
    job: Job,
    counts: np.ndarray | None,
    aux_range: str | AuxRange,
) -> None:
    """Say what is in a label map that was written now, and make what is made of it."""
    if counts is not None:
        print(_describe(job.pair.out, counts, inferencer.classes.names), flush=True)
    for line in write_sidecars(job.pair.out, job.sidecars):
        print(line, flush=True)
    if args.picture is not None:
        draw_pair(inferencer, job.pair, args.label, args.picture, aux_range)


def _progress() -> Progress:
    """Bars on standard error, of the first process."""
    columns = TextColumn('{task.description}'), BarColumn(), TextColumn('{task.percentage:.0f} %')
    timing = TimeElapsedColumn(), TextColumn('elapsed,'), TimeRemainingColumn(), TextColumn('left')
    # else what is printed would go where the progress goes, also if only that is a terminal
    shown = {'console': Console(stderr=True), 'redirect_stdout': sys.stdout.isatty()}
    return Progress(*columns, *timing, **shown, disable=not is_main_process())


def _load_inferencer(args: argparse.Namespace) -> PairInferencer:
    settings = {
        'device': args.device,
        'modality': args.modality,
        'window': _read_sides('window', args.window),
        'stride': _read_sides('stride', args.stride),
        'batch_size': _read_batch_size(args.batch_size),
        'blend': args.blend,
        'tta': args.tta,
    }
    if is_onnx(args.config):
        given = {
            'a checkpoint': args.checkpoint,
            '--amp': args.amp,
            '--cfg-options': args.cfg_options,
            '--label': args.label,
        }
        wrong = [name for name, value in given.items() if value]
        if wrong:
            raise ValueError(
                f'{args.config} is a whole model, which takes no {" and no ".join(wrong)}: leave '
                'out what is not its own, or give config and checkpoint.'
            )
        return OnnxInferencer(args.config, **settings)
    if args.checkpoint is None:
        raise ValueError(
            f'{args.config} comes without a checkpoint: give the file that the training wrote '
            'behind the config, or a model that tools/export_onnx.py wrote (.onnx) alone.'
        )
    more = {'amp': args.amp, 'cfg_options': args.cfg_options}
    return MultimodalInferencer(args.config, args.checkpoint, **settings, **more)


def _read_batch_size(words: str | None) -> int | str | None:
    if words in (None, 'auto'):
        return words
    if not words.isdigit():
        raise ValueError(f"--batch-size got {words}: give a number of windows, or 'auto'.")
    return int(words)


def _read_range(words: list[str] | None) -> str | AuxRange:
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


def _read_sides(name: str, sides: list[int] | None) -> tuple[int, int] | None:
    if sides is not None and len(sides) > 2:
        raise ValueError(f'--{name} got {len(sides)} numbers: give one, or height and width.')
    return None if sides is None else (sides[0], sides[-1])


def _predict_pair(
    inferencer: PairInferencer,
    job: Job,
    aux_range: str | AuxRange,
    shared: bool,
    progress: Progress,
) -> np.ndarray:
    """Predict a raster, alone or with the other processes; gives the counts of its labels."""
    progress.live.stop()  # the range of warped heights may be found first, with a bar of its own
    open_pair = partial(open_shared, inferencer) if shared else inferencer.open_pair
    pair, paths = job.pair, job.paths
    with open_pair(pair.rgb, pair.aux, aux_range) as source:
        strips = inferencer.plan(source)
        own = own_strips(strips) if shared else strips
        rows = inferencer.predict_rows(source, own, **paths.wanted)
        if shared:
            rows = write_shared(rows, strips, paths, source.info, inferencer.classes)
        else:
            rows = write_maps(rows, paths, source.info, inferencer.classes)
        name = Path(pair.rgb).name + (_share_text() if shared else '')
        pixels = sum(strip.done.height * strip.done.width for strip in own)
        counts = count_labels(_showing(rows, progress, name, pixels))
    return sum(gathered([counts])) if shared else counts


def _showing(rows: Iterable[Maps], progress: Progress, name: str, pixels: int) -> Iterator[Maps]:
    """Give the rows, and show how many of their pixels have come."""
    progress.start()
    task = progress.add_task(name, total=pixels)
    try:
        for maps in rows:
            progress.update(task, advance=maps.labels.size)
            yield maps
    finally:
        progress.remove_task(task)


def _share_text() -> str:
    """What a bar says where it shows the first process's share alone."""
    return f' (1 of {get_world_size()} shares)' if get_world_size() > 1 else ''


def _describe_windows(inferencer: PairInferencer) -> str:
    device, tiling = inferencer.network.device, inferencer.tiling
    window, stride = (' x '.join(map(str, sides)) for sides in (tiling.window, tiling.stride))
    return (
        f'on {device}: windows of {window} pixels, stride {stride}, {tiling.batch_size} at once, '
        f'blend {tiling.blend or "none"}'
    )


def _describe(out: Path, counts: np.ndarray, classes: Sequence[str]) -> str:
    lines = [f'{out}: {counts.sum():,} pixels']
    for index, name in enumerate([*classes, 'no data']):
        value = index if index < len(classes) else NODATA
        lines.append(f'  {name:<24}{counts[value] / counts.sum():8.2%}')
    return '\n'.join(lines)
