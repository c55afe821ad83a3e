"""Crops per second on one core, and memory: python tools/analysis_tools/benchmark_loader.py DATA.

DATA is a config, whose training data is loaded as it would be, or the root of a Potsdam archive.
"""

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import psutil
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.progress import track

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset

POTSDAM = Path(__file__).parents[2] / 'configs' / '_base_' / 'datasets' / 'isprs_potsdam.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Crops per second on one core, and memory')
    parser.add_argument('data', type=Path, help='config, or root of a Potsdam archive')
    parser.add_argument('--crops', type=int, default=1000, help='crops that are timed')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    libraries = private_memory()
    torch.set_num_threads(1)
    init_default_scope('mmseg')
    loader = train_loader(args)
    print(describe_machine())
    paths = [loader.dataset.get_data_info(i)['img_path'] for i in range(len(loader.dataset))]
    print(f'{len(paths)} tiles; the first, {describe_raster(paths[0])}')
    seconds, cpu_seconds, peak, private = measure(loader, args.crops)
    print(
        f'{args.crops} crops: {args.crops / seconds:.0f} a second, '
        f'{args.crops / cpu_seconds:.0f} a second of CPU time'
    )
    print(
        f'resident memory {peak / 1e6:.0f} MB, of which {private / 1e6:.0f} MB private and the '
        f'rest library files mapped from disk; of the private part {libraries / 1e6:.0f} MB was '
        f'there after the imports, {(private - libraries) / 1e6:.0f} MB came with loading'
    )


def train_loader(args: argparse.Namespace) -> torch.utils.data.DataLoader:
    """Build the training loader, in this process, one crop at a time."""
    is_root = args.data.is_dir()
    config = Config.fromfile(POTSDAM if is_root else args.data).train_dataloader
    if is_root:
        config.dataset.update(data_root=str(args.data), tiles=tiles_in(args.data))
    config.update(batch_size=1, num_workers=0, persistent_workers=False)
    config.sampler.num_samples = args.crops + 20  # the first ones open the files
    return Runner.build_dataloader(config, seed=args.seed)


def tiles_in(root: Path) -> list[str]:
    """Name the tiles that a Potsdam archive holds, of whichever split."""
    source = ISPRSPotsdamDataset.OPTICAL['rgb']
    folder = root / source.folders[0]
    every = (*ISPRSPotsdamDataset.TRAIN_TILES, *ISPRSPotsdamDataset.TEST_TILES)
    tiles = [tile for tile in every if (folder / source.name.format(tile=tile)).exists()]
    if not tiles:
        raise FileNotFoundError(
            f'{folder} holds no {source.name}: give a config, or the root of a Potsdam archive.'
        )
    return tiles


def private_memory() -> int:
    """Resident bytes that are this process's own, without the library files it maps."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


def measure(loader: torch.utils.data.DataLoader, crops: int) -> tuple[float, float, int, int]:
    """Time the loader; gives seconds, CPU seconds, greatest resident and private bytes."""
    process, peak, private = psutil.Process(), 0, 0
    batches = iter(loader)
    for _ in range(20):
        next(batches)
    start, cpu_start = time.perf_counter(), time.process_time()
    for index in track(range(crops), 'Crops'):
        next(batches)
        if index % 20 == 0:
            peak = max(peak, process.memory_info().rss)
            private = max(private, private_memory())
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return seconds, cpu_seconds, peak, private


def describe_machine() -> str:
    versions = {'numpy': np, 'torch': torch, 'rasterio': rasterio}
    named = ', '.join(f'{name} {module.__version__}' for name, module in versions.items())
    return (
        f'{cpu_name()}, {psutil.cpu_count()} cores, Python {platform.python_version()}, {named}, '
        f'GDAL {rasterio.__gdal_version__}'
    )


def cpu_name() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(':')[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor()


def describe_raster(path: str) -> str:
    with rasterio.open(path) as raster:
        layout = 'tiled' if raster.is_tiled else 'stripped'
        packing = raster.compression.value if raster.compression else 'uncompressed'
        return f'{Path(path).name}: {raster.height} x {raster.width}, {layout}, {packing}'


if __name__ == '__main__':
    main()
