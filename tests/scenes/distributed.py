"""Threads in the place of processes, and a noisy scene that they predict."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from scenes.prediction import ROTATED, UTM, write_scene
from scenes.rasters import write_raster

from mobanet_mmseg.inference.inferencer import MultimodalInferencer

MAPS = ('{}.tif', '{}_probabilities.tif', '{}_confidence.tif')
SMOOTHED = {'model.type': 'SmoothedChannel'}
EVERY_MAP = {'probabilities': True, 'confidence': True}


class Threads:
    """As many threads, each with a rank, and the collective calls that they make."""

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size
        self.own = threading.local()
        self.barrier = threading.Barrier(world_size, timeout=20)
        self.slots = [None] * world_size

    def rank(self) -> int:
        return self.own.rank

    def all_gather_object(self, every: list, value: object) -> None:
        self._exchange('gather', value)
        every[:] = [value for _, value in self.slots]
        self.barrier.wait()

    def broadcast_object_list(self, values: list) -> None:
        self._exchange('broadcast', values[0])
        values[0] = self.slots[0][1]
        self.barrier.wait()

    def _exchange(self, kind: str, value: object) -> None:
        self.slots[self.rank()] = kind, value
        self.barrier.wait()
        assert {each for each, _ in self.slots} == {kind}  # one call, the same in all

    def run(self, function) -> list:
        """What the function gives, or raises, in each thread."""

        def call(rank: int):
            self.own.rank = rank
            try:
                return function()
            except Exception as error:
                return error

        with ThreadPoolExecutor(self.world_size) as pool:
            return list(pool.map(call, range(self.world_size)))


def write_noisy_scene(tmp_path: Path) -> dict:
    """Write a scene of random pixels, 150 x 53."""
    paths = write_scene(tmp_path)
    write_noise(paths['rgb'], paths['aux'], 150)
    return paths


def write_noise(rgb: Path, aux: Path, height: int, width: int = 53) -> None:
    generator = np.random.default_rng(height)
    size = (height, width)
    layout = {
        'compress': 'deflate',
        'blockysize': 16,
        'nodata': 0,
        'crs': UTM,
        'transform': ROTATED,
    }
    pixels = generator.integers(1, 256, (*size, 3), np.uint8)
    pixels[height // 3 : height // 2, :30] = 0
    write_raster(rgb, pixels, **layout)
    write_raster(aux, generator.uniform(10, 30, size).astype(np.float32), **layout)


def inferencer_of(paths: dict, **settings) -> MultimodalInferencer:
    settings = {'device': 'cpu', 'cfg_options': SMOOTHED, **settings}
    return MultimodalInferencer(paths['config'], paths['checkpoint'], **settings)


def files_of(folder: Path, name: str) -> list[bytes]:
    return [(folder / pattern.format(name)).read_bytes() for pattern in MAPS]


def hidden_in(folder: Path) -> list[Path]:
    return list(folder.glob('.*'))
