"""The process of one run: python -m mobanet_mmseg.experiments.child FOLDER."""

import argparse
import json
import math
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmengine
import mmseg
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

import mobanet_mmseg
from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.datasets.channels import modality_channels_of
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import parts
from mobanet_mmseg.engine.agreement import check_agreement
from mobanet_mmseg.engine.label_hooks import has_labels
from mobanet_mmseg.engine.machine import describe_machine
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.evaluation.segmentation_metric import (
    SegmentationMetric,
    confusion_matrix,
    percentages,
)
from mobanet_mmseg.experiments.cost import measure_cost
from mobanet_mmseg.experiments.runs import CONFIG, COST, RESULT, WORK, read_json
from mobanet_mmseg.mistakes import ending_in_one_sentence
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.visualization.pictures import sample_name, stems_of
from mobanet_mmseg.weights.newest import last_checkpoint
from mobanet_mmseg.writing import Stems, write_text


class Stopwatch(Hook):
    """Times a training: the seconds and the iterations of this process, which may have resumed."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.first = self.iterations = 0
        self.start = self.seconds = 0.0

    def before_train(self, runner: Runner) -> None:
        """Begin, when weights, data and an earlier checkpoint are loaded."""
        self.first, self.start = runner.iter, time.perf_counter()

    def after_train(self, runner: Runner) -> None:
        """End."""
        self.seconds = time.perf_counter() - self.start
        self.iterations = runner.iter - self.first


class TileMatrices(Hook):
    """Keeps the confusion matrix of each tile of a test."""

    def __init__(self) -> None:
        self.matrices: dict[str, torch.Tensor] = {}
        self.stems = Stems()

    def before_test(self, runner: Runner) -> None:
        """Name the tiles."""
        self.matrices, self.stems = {}, stems_of(runner.test_dataloader.dataset)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Count the pixels of one batch.

        Args:
            runner: Knows the classes.
            batch_idx: Not used.
            data_batch: Not used.
            outputs: Samples with ``pred_sem_seg`` and ``gt_sem_seg``, (1, H, W) each.
        """
        count = len(runner.test_dataloader.dataset.metainfo['classes'])
        for sample in outputs or ():
            name = sample_name(sample, self.stems)
            maps = sample.pred_sem_seg.data, sample.gt_sem_seg.data
            self.matrices[name] = confusion_matrix(*maps, count, IGNORE_INDEX, name).cpu()


def main() -> None:
    """Work off the run of a folder."""
    parser = argparse.ArgumentParser(description='Train, test and cost the config of a folder')
    parser.add_argument('folder', type=Path)
    parser.add_argument('--name', required=True)
    parser.add_argument('--seed', type=int, required=True)
    parser.add_argument('--modalities', nargs='+', default=['both'])
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--repeats', type=int, default=20)
    args = parser.parse_args()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with ending_in_one_sentence():
        work(args)


def _end_with_parent() -> None:
    """End when the process that has started this one does: then its pipe has no other end."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def work(args: argparse.Namespace) -> None:
    """Cost, train and test the config of a folder, and write its numbers.

    Args:
        args: What :func:`main` is given.

    Raises:
        OSError: If a file is missing, or one cannot be written.
        ValueError: If the config and its data do not fit.
    """
    config = Config.fromfile(args.folder / CONFIG)
    check_agreement(config, ('train', 'test'))
    cost = read_json(args.folder / COST)
    if cost is None:  # first of all, while this process holds nothing else
        cost = measure_cost(config, args.repeats)
        write_text(args.folder / COST, json.dumps(cost, indent=1))
    _go_on_in(config, args.folder / WORK, args.workers)
    runner = SafeRunner.from_cfg(config)
    dataset = runner.test_loop.dataloader.dataset
    if not has_labels(runner):  # before the training, not after it
        raise ValueError(
            'The test set has no labels (seg_map_path) to measure against: give it its labels.'
        )
    result = {
        'name': args.name,
        'seed': args.seed,
        'classes': list(dataset.metainfo['classes']),
        'excluded_classes': _excluded_classes(runner),
        'channels': modality_channels_of(dataset),  # optical, auxiliary
        'cost': cost,
        'training': _train(runner),
        'split': {'train': _stems(runner.train_dataloader.dataset), 'test': _stems(dataset)},
        'machine': describe_machine(get_device()),
        'versions': {each.__name__: each.__version__ for each in (mobanet_mmseg, mmseg, mmengine)},
    }
    result |= _test(runner, args.modalities, result['classes'], result['excluded_classes'])
    write_text(args.folder / RESULT, json.dumps(result))


def _go_on_in(config: Config, folder: Path, workers: int) -> None:
    """Let a training go on in a folder, or begin there, and its windows be loaded by workers."""
    own = last_checkpoint(folder) != ''
    config.update(work_dir=str(folder), resume=own or config.get('load_from') is None)
    if own:
        config.load_from = None
    for name, most in (('train', workers), ('test', min(workers, 1))):
        loader = config[f'{name}_dataloader']
        loader.update(num_workers=most, persistent_workers=most > 0)
        if most == 0:
            loader.pop('prefetch_factor', None)


def _train(runner: SafeRunner) -> dict[str, float | None]:
    """Train, or go on with it, or load what is trained already."""
    stopwatch = Stopwatch()
    runner.register_hook(stopwatch)
    runner.train()
    iterations, seconds = stopwatch.iterations, stopwatch.seconds
    return {
        'iterations': runner.max_iters,
        'iterations_timed': iterations,  # fewer if this process went on with a training
        'seconds_timed': seconds,
        'seconds_per_iteration': seconds / iterations if iterations else None,
    }


def _test(
    runner: SafeRunner, modalities: Sequence[str], classes: list[str], excluded: list[str]
) -> dict[str, Any]:
    """Measure the trained network; the scores and the tiles' matrices, by what it got."""
    recorder = TileMatrices()
    runner.register_hook(recorder)
    metrics, tiles, seconds = {}, {}, {}
    for modality in modalities:
        if modality != 'both':  # which a network without modalities gets, too
            channels = modality_channels_of(runner.test_dataloader.dataset)
            select_modality(runner.model, modality, channels)
        start = time.perf_counter()
        runner.test_loop.run()  # of what is trained: nothing is loaded again
        seconds[modality] = round(time.perf_counter() - start, 3)
        found = percentages(sum(recorder.matrices.values()).numpy(), classes, excluded)
        metrics[modality] = {
            key: value if math.isfinite(value) else None for key, value in found.items()
        }
        tiles[modality] = {name: each.tolist() for name, each in recorder.matrices.items()}
    return {'metrics': metrics, 'testing': {'seconds': seconds}, 'tiles': tiles}


def _excluded_classes(runner: SafeRunner) -> list[str]:
    """Which classes the means leave out."""
    metrics = runner.test_loop.evaluator.metrics
    ours = (metric for metric in metrics if isinstance(metric, SegmentationMetric))
    return list(next((metric.excluded_classes for metric in ours), ()))


def _stems(dataset: Dataset) -> list[str]:
    """Names of the tiles."""
    ours = [part for part in parts(dataset) if isinstance(part, MultimodalSegDataset)]
    paths = (part.tile_size(index)[0] for part in ours for index in range(len(part)))
    return [Path(path).stem for path in paths]


if __name__ == '__main__':
    main()
