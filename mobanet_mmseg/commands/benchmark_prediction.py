"""Measure speed and memory of prediction."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import rasterio
import torch
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from prettytable import PrettyTable
from rasterio.transform import from_origin
from rich.progress import track
from torch import Tensor

import mobanet_cli
from mobanet_mmseg.configs import read_config
from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.engine.machine import describe_machine
from mobanet_mmseg.inference.inferencer import AMP_TYPES, MultimodalInferencer
from mobanet_mmseg.inference.trained import find_device
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.models.tiled import TiledEncoderDecoder
from mobanet_mmseg.tiling.windows import Tiling, plan_strips

BLOCK = 256  # pixels, both sides of the blocks of the files that are written
POLL = 0.02  # seconds between two looks at a process's memory

STAND_IN = """
from mmengine.config import ConfigDict
from mmseg.models import BaseSegmentor, EncoderDecoder
from mmseg.registry import MODELS
from torch import nn

@MODELS.register_module()
class OneConvolution(EncoderDecoder):
    def __init__(self, data_preprocessor, train_cfg=None, test_cfg=None, pretrained=None):
        BaseSegmentor.__init__(self, data_preprocessor=data_preprocessor)
        self.align_corners, self.out_channels = False, 6
        self.test_cfg = ConfigDict(test_cfg)
        self.convolution = nn.Conv2d(4, 6, 3, padding=1)

    def encode_decode(self, inputs, batch_img_metas):
        return self.convolution(inputs)
"""
STAND_IN_CONFIG = """
custom_imports = dict(imports=['mobanet_mmseg', 'stand_in'], allow_failed_imports=False)
default_scope = 'mmseg'
model = dict(
    type='OneConvolution',
    data_preprocessor=dict(
        type='MultimodalDataPreProcessor', mean=[120.0] * 3 + [0.5], std=[50.0] * 3 + [0.2]),
    test_cfg=dict(mode='slide', crop_size=(256, 256), stride=(128, 128), batch_size=8))
test_dataloader = dict(dataset=dict(type='ISPRSPotsdamDataset', data_root='nowhere'))
"""


RANDOM_ENCODER = {'model.backbone.allow_random_encoder': True}


@ending_in_one_sentence()
def measure(args: argparse.Namespace) -> None:
    """Measure speed and memory of prediction.

    Args:
        args: What tools/analysis_tools/benchmark_prediction.py was told.
    """
    init_default_scope('mmseg')
    find_device(args.device)  # before anything is built
    print(describe_machine(args.device))
    for name in args.sections:
        print(f'\n{name}', flush=True)
        with tempfile.TemporaryDirectory() as folder:
            _SECTIONS[name](args, Path(folder))


class Cost(NamedTuple):
    """What a run took: seconds by the clock, and of all processor cores together."""

    seconds: float
    cpu_seconds: float


def _run_slide(args: argparse.Namespace, folder: Path) -> None:
    """Compare our sliding window with MMSeg's and with the network alone."""
    device = torch.device(args.device)
    model = _build_model(args).to(device)
    inputs = torch.randn((1, 4, args.size, args.size), device=device)
    ours, bare, theirs = 'ours', 'the network alone', "MMSeg's slide_inference"
    with torch.inference_mode(), torch.autocast(device.type, AMP_TYPES[args.amp], bool(args.amp)):
        batches, logits = _record_batches(model, inputs)
        ways = {
            ours: lambda: model.slide_inference(inputs, [{}]),
            bare: lambda: _run_batches(model, batches),
        }
        if args.batch_size > 1 and device.type == 'cuda':
            ways['ours, windows one by one'] = lambda: _slide_one_by_one(model, inputs)
        costs = {name: [] for name in ways}
        for repeat in track(range(args.repeats), 'Repeats'):
            # there and back: a machine that slows down meanwhile does so for all
            for name in list(ways)[:: -1 if repeat % 2 else 1]:
                costs[name].append(_measure(ways[name], device))
        windows = sum(map(len, batches))
        cost, other_logits = _slide_as_mmseg(model, inputs, args.mmseg_windows, windows)
    costs[theirs] = [cost] * args.repeats
    table = _new_table('', 'seconds', 'of the network', 'CPU seconds', 'of its')
    for name, runs in costs.items():
        row = [name]
        for own, other in zip(zip(*runs, strict=True), zip(*costs[bare], strict=True), strict=True):
            ratio = median(a / b for a, b in zip(own, other, strict=True))
            row += [f'{median(own):.2f}', f'{ratio:.3f}']
        table.add_row(row)
    print(table)
    precision = args.amp or 'float32'
    print(f'{args.size} x {args.size} pixels, {_describe_windows(args)}, {windows} in all')
    print(f'{precision}, random weights of {Path(args.config).name}')
    print(f"medians of {args.repeats} runs in turns; of MMSeg's one run")
    if other_logits is None:
        print(f"MMSeg's is extrapolated from {args.mmseg_windows} windows of {windows}")
    else:
        gap = (logits - other_logits.to(logits)).abs().max().item()
        print(
            f"largest difference from MMSeg's logits, of up to {logits.abs().max():.2f}: {gap:.1e}"
        )


def _run_scaling(args: argparse.Namespace, folder: Path) -> None:
    """Time the prediction of files of growing size."""
    model = _build_model(args)
    checkpoint = folder / 'model.pth'
    meta = {'dataset_meta': ISPRSPotsdamDataset.METAINFO}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, checkpoint)
    sides = [round(1024 * size**0.5) for size in sorted(args.megapixels)]
    pairs = [_write_pair(folder / f'{side}', side) for side in sides]
    names = ('stride', 'pixels', 'windows a megapixel', 'ms a window', 'CPU ms a window')
    table = _new_table(*names, 's a megapixel', 'of the first', 'CPU s a megapixel', 'of its')
    for stride in dict.fromkeys((args.window, args.stride)):  # without overlap, and with
        inferencer = MultimodalInferencer(
            args.config,
            checkpoint,
            device=args.device,
            window=(args.window, args.window),
            stride=(stride, stride),
            batch_size=args.batch_size,
            amp=args.amp,
            cfg_options=RANDOM_ENCODER,
        )
        inferencer.predict_file(*pairs[0])  # a first run takes memory and chooses algorithms
        first = None
        for side, pair in track(list(zip(sides, pairs, strict=True)), f'Stride {stride}'):
            repeats = max(1, args.repeats * sides[0] ** 2 // side**2)
            runs = [_measure(lambda: inferencer.predict_file(*pair)) for _ in range(repeats)]  # noqa: B023
            seconds, cpu_seconds = (median(values) for values in zip(*runs, strict=True))
            count = _count_windows(side, inferencer.tiling)
            megapixels = side**2 / 2**20
            first = first or (seconds / megapixels, cpu_seconds / megapixels)
            table.add_row(
                [
                    stride,
                    f'{side} x {side}',
                    f'{count / megapixels:.1f}',
                    f'{1000 * seconds / count:.1f}',
                    f'{1000 * cpu_seconds / count:.1f}',
                    f'{seconds / megapixels:.3f}',
                    f'{seconds / megapixels / first[0]:.3f}',
                    f'{cpu_seconds / megapixels:.3f}',
                    f'{cpu_seconds / megapixels / first[1]:.3f}',
                ]
            )
    print(table)
    print(f'windows of {args.window} pixels, {args.batch_size} at once; a megapixel is 2^20 pixels')
    print('reading, network and writing of files; overlapping windows are fewer at the border')


def _run_memory(args: argparse.Namespace, folder: Path) -> None:
    """Measure the peak memory of the command at growing sizes."""
    (folder / 'stand_in.py').write_text(STAND_IN)
    config, checkpoint = folder / 'config.py', folder / 'model.pth'
    config.write_text(STAND_IN_CONFIG)
    weights = torch.nn.Conv2d(4, 6, 3).state_dict()
    state = {f'convolution.{name}': value for name, value in weights.items()}
    meta = {'dataset_meta': ISPRSPotsdamDataset.METAINFO}
    torch.save({'state_dict': state, 'meta': meta}, checkpoint)
    table = _new_table('pixels', 'peak resident memory', 'of the first', 'seconds')
    first = None
    for side in sorted(args.sides):
        rgb, aux, out = _write_pair(folder / f'{side}', side)
        command = ['-m', 'mobanet_cli', 'predict', config, checkpoint]
        command += ['--rgb', rgb, '--aux', aux, '--out', out, '--device', 'cpu']
        peak, seconds = _run_command(command, folder)
        first = first or peak
        table.add_row(
            [f'{side} x {side}', f'{peak / 1e6:.0f} MB', f'{peak / first:.3f}', f'{seconds:.0f}']
        )
        for path in (rgb, aux, out):
            path.unlink()
    print(table)
    print('tools/predict.py with one convolution, windows of 256 pixels, stride 128, 8 at once')


_SECTIONS = {'slide': _run_slide, 'scaling': _run_scaling, 'memory': _run_memory}


def _build_model(args: argparse.Namespace) -> TiledEncoderDecoder:
    """Build the config's model, with random weights and the windows that are asked for."""
    config = read_config(args.config)
    config.merge_from_dict(RANDOM_ENCODER)
    model = MODELS.build(config.model)
    sides = {'crop_size': (args.window,) * 2, 'stride': (args.stride,) * 2}
    model.test_cfg.update(mode='slide', batch_size=args.batch_size, **sides)
    return model.eval()


def _record_batches(model: TiledEncoderDecoder, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
    """Predict, and keep the batches of windows that the network gets."""
    batches = []
    network = model.encode_decode

    def recorded(windows: Tensor, batch_img_metas: list[dict]) -> Tensor:
        batches.append(windows)
        return network(windows, batch_img_metas)

    model.encode_decode = recorded
    logits = model.slide_inference(inputs, [{}])
    del model.encode_decode
    return batches, logits


def _run_batches(model: TiledEncoderDecoder, batches: list[Tensor]) -> None:
    for windows in batches:
        model.encode_decode(windows, [{}])


def _slide_one_by_one(model: TiledEncoderDecoder, inputs: Tensor) -> None:
    batch_size = model.test_cfg.batch_size
    model.test_cfg.batch_size = 1
    model.slide_inference(inputs, [{}])
    model.test_cfg.batch_size = batch_size


class EnoughError(Exception):
    """So many windows have been run as were asked for."""


def _slide_as_mmseg(
    model: TiledEncoderDecoder, inputs: Tensor, limit: int | None, windows: int
) -> tuple[Cost, Tensor | None]:
    """Run MMSeg's sliding window, or ``limit`` of its windows; gives its cost and the logits."""
    results = []
    network = model.encode_decode
    shown = iter(track(range(limit or windows), "MMSeg's windows"))

    def limited(crop: Tensor, batch_img_metas: list[dict]) -> Tensor:
        if next(shown, None) is None and limit:
            raise EnoughError
        return network(crop, batch_img_metas)

    def slide() -> None:
        try:
            results.append(super(TiledEncoderDecoder, model).slide_inference(inputs, [{}]))
        except EnoughError:
            results.append(None)

    model.encode_decode = limited
    cost = _measure(slide, inputs.device)
    del model.encode_decode
    share = windows / (limit or windows)
    return Cost(*(value * share for value in cost)), results[0]


def _measure(function: Callable[[], Any], device: torch.device | str = 'cpu') -> Cost:
    cuda = torch.device(device).type == 'cuda'
    if cuda:
        torch.cuda.synchronize(device)
    start, cpu_start = time.perf_counter(), time.process_time()
    function()
    if cuda:
        torch.cuda.synchronize(device)
    return Cost(time.perf_counter() - start, time.process_time() - cpu_start)


def _run_command(command: list[str | Path], folder: Path) -> tuple[int, float]:
    """Run a Python script; gives the peak of its resident memory, bytes, and its seconds."""
    here = Path(mobanet_cli.__file__).parents[1]
    paths = os.pathsep.join([str(folder), str(here), os.environ.get('PYTHONPATH', '')])
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], env={**os.environ, 'PYTHONPATH': paths}
    )
    status = Path(f'/proc/{process.pid}/status')
    peak = 0
    while process.poll() is None:
        found = re.search(r'VmHWM:\s+(\d+) kB', status.read_text())  # the peak so far
        peak = max(peak, 1024 * int(found[1]) if found else 0)
        time.sleep(POLL)
    if process.returncode:
        sys.exit(f'error: {" ".join(map(str, command))} has failed, see above')
    return peak, time.perf_counter() - start


def _write_pair(folder: Path, side: int) -> tuple[Path, Path, Path]:
    """Write an optical raster and heights, tiled and compressed; gives them and the output."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (3, BLOCK // 8, -(-side // 8)), np.uint8)
    rows = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :, :side]
    layers = {'rgb': rows, 'aux': rows[:1].astype(np.float32) / 10}
    for name, values in layers.items():
        layout = {'count': len(values), 'dtype': values.dtype, 'height': side, 'width': side}
        place = {'crs': 'EPSG:32633', 'transform': from_origin(368000, 5808000, 0.05, 0.05)}
        blocks = {'tiled': True, 'blockxsize': BLOCK, 'blockysize': BLOCK}
        packing = {'compress': 'deflate', 'zlevel': 1, 'bigtiff': 'if_safer'}
        path = folder / f'{name}.tif'
        with rasterio.open(path, 'w', 'GTiff', **layout, **place, **blocks, **packing) as raster:
            for row in track(range(0, side, BLOCK), f'{name} of {side}', transient=True):
                height = min(BLOCK, side - row)
                moved = np.roll(values, row // BLOCK, axis=1)[:, :height]  # no two rows alike
                raster.write(moved, window=((row, row + height), (0, side)))
    return folder / 'rgb.tif', folder / 'aux.tif', folder / 'out.tif'


def _count_windows(side: int, tiling: Tiling) -> int:
    return sum(len(strip.windows) for strip in plan_strips(side, side, tiling))


def _describe_windows(args: argparse.Namespace) -> str:
    return f'windows of {args.window}, stride {args.stride}, {args.batch_size} at once'


def _new_table(*names: str) -> PrettyTable:
    table = PrettyTable(names)
    table.align = 'r'
    table.align[names[0]] = 'l'
    return table
