"""Time the loading of windows and of whole tiles, by files and workers."""

import argparse
import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.registry import TRANSFORMS
from prettytable import PrettyTable
from rich.progress import track

from mobanet_mmseg.configs import CONFIGS
from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.datasets.loading import LoadMultimodalRaster, LoadRasterAnnotations
from mobanet_mmseg.engine.machine import describe_machine
from mobanet_mmseg.mistakes import ending_in_one_sentence

CONFIG = {'archive': 'isprs_potsdam.py', 'converted': 'isprs_potsdam_converted.py'}
WARM_UP = 20  # crops of a worker that open the files


@ending_in_one_sentence()
def measure_loading(args: argparse.Namespace) -> None:
    """Time the loading of windows and of whole tiles, by files and workers.

    Args:
        args: What tools/analysis_tools/benchmark_loader.py was told.
    """
    print(describe_machine())
    roots = {'archive': args.archive, 'converted': args.converted}
    tiles = {kind: _tiles_in(root, kind) for kind, root in roots.items()}
    for kind, root in roots.items():
        print(f'{kind}: {_describe_tiles(root, kind, tiles[kind])}')
    windows = [
        Case(kind, roots[kind], named, workers, args.crops)
        for workers in args.workers
        for kind in roots
        for named in (tiles[kind][:1], tiles[kind])
    ]
    whole = [
        Case('archive', args.archive, tiles['archive'], workers, args.whole, whole=True)
        for workers in args.workers
    ]
    table = PrettyTable(['files', 'tiles', 'workers', 'crops/s', 'per CPU s', 'memory', 'private'])
    table.align = 'r'
    table.align['files'] = 'l'
    spawn = multiprocessing.get_context('spawn')  # so that no case sees another one's memory
    cases = [*windows, *whole]
    with ProcessPoolExecutor(1, spawn, max_tasks_per_child=1) as pool:
        rows = zip(cases, pool.map(_measure, cases), strict=True)
        for case, row in track(rows, 'Cases', len(cases)):
            name = f'{case.kind}, {"whole tiles" if case.whole else "windows"}'
            table.add_row([name, len(case.tiles), case.workers, *row])
    print(table)
    print('memory: the greatest resident size of a worker, and what of it is its own')


@TRANSFORMS.register_module()
class LoadWholeRaster(LoadMultimodalRaster):
    """Loads a tile whole and crops it, as MMSeg's loading and RandomCrop do."""

    def transform(self, results: dict) -> dict:  # noqa: D102
        window = results['window']
        results = super().transform({k: v for k, v in results.items() if k != 'window'})
        results['img'] = results['img'][window.rows, window.cols].copy()
        results['img_shape'] = results['ori_shape'] = (window.height, window.width)
        return results | {'window': window}


@TRANSFORMS.register_module()
class LoadWholeAnnotations(LoadRasterAnnotations):
    """Loads labels whole and crops them."""

    def transform(self, results: dict) -> dict:  # noqa: D102
        window = results['window']
        results = super().transform({k: v for k, v in results.items() if k != 'window'})
        labels = results['gt_seg_map'][window.rows, window.cols].copy()
        return results | {'gt_seg_map': labels, 'window': window}


@dataclass(frozen=True)
class Case:
    """What is measured in a process of its own.

    Args:
        kind: ``'archive'`` or ``'converted'``.
        root: Root of the data.
        tiles: Names of the tiles.
        workers: Worker processes.
        crops: Crops that are timed.
        whole: Whether tiles are read whole.
    """

    kind: str
    root: Path
    tiles: tuple[str, ...]
    workers: int
    crops: int
    whole: bool = False


def _measure(case: Case) -> list[str]:
    """Time a training loader; crops a second, by the clock and of CPU time, and memory."""
    torch.set_num_threads(1)
    init_default_scope('mmseg')
    config = Config.fromfile(CONFIGS / CONFIG[case.kind]).train_dataloader
    config.dataset.data_root = str(case.root)
    if case.kind == 'archive':
        config.dataset.tiles = case.tiles
    else:
        with tempfile.NamedTemporaryFile('w', suffix='.txt', delete=False) as split:
            split.write('\n'.join(case.tiles))
        config.dataset.ann_file = split.name
    if case.whole:
        swap = {'LoadMultimodalRaster': 'LoadWholeRaster'}
        swap['LoadRasterAnnotations'] = 'LoadWholeAnnotations'
        for step in config.dataset.pipeline:
            step.type = swap.get(step.type, step.type)
    warm_up = (2 if case.whole else WARM_UP) * case.workers
    config.update(batch_size=1, num_workers=case.workers, persistent_workers=False)
    config.sampler.num_samples = case.crops + warm_up
    batches = iter(Runner.build_dataloader(config, seed=0))
    for _ in range(warm_up):
        next(batches)
    workers = psutil.Process().children()
    peak = own = 0
    start, cpu_start = time.perf_counter(), _cpu_seconds(workers)
    for index in range(case.crops):
        next(batches)
        if index % (case.crops // 10 or 1) == 0:
            memory = [worker.memory_info() for worker in workers]
            peak = max(peak, *(each.rss for each in memory))
            own = max(own, *(each.rss - each.shared for each in memory))
    seconds, cpu = time.perf_counter() - start, _cpu_seconds(workers) - cpu_start
    return [
        f'{case.crops / seconds:.1f}',
        f'{case.crops / cpu:.1f}',
        f'{peak / 1e6:.0f} MB',
        f'{own / 1e6:.0f} MB',
    ]


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _tiles_in(root: Path, kind: str) -> tuple[str, ...]:
    """Name the tiles that are there, of whichever split."""
    if kind == 'converted':
        tiles = tuple(sorted(path.stem for path in (root / 'img').glob('*.tif')))
    else:
        every = (*ISPRSPotsdamDataset.TRAIN_TILES, *ISPRSPotsdamDataset.TEST_TILES)
        tiles = tuple(tile for tile in every if _optical(root, kind, tile).exists())
    if not tiles:
        raise FileNotFoundError(
            f'{root} holds no {_optical(root, kind, "*")}: give the right root.'
        )
    return tiles


def _optical(root: Path, kind: str, tile: str) -> Path:
    if kind == 'converted':
        return root / 'img' / f'{tile}.tif'
    source = ISPRSPotsdamDataset.OPTICAL['rgb']
    return root / source.folders[0] / source.name.format(tile=tile)


def _describe_tiles(root: Path, kind: str, tiles: tuple[str, ...]) -> str:
    path = _optical(root, kind, tiles[0])
    with rasterio.open(path) as raster:
        layout = 'tiled' if raster.is_tiled else 'stripped'
        packing = raster.compression.value if raster.compression else 'uncompressed'
        size = f'{raster.height} x {raster.width}, {layout}, {packing}'
    return f'{len(tiles)} tiles; the first, {path.name}: {size}'
