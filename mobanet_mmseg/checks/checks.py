"""Walks the datasets of a config before they are trained on, and says what will hurt."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from rich.progress import track

from mobanet_mmseg.checks.judge import HURTS, LOOK, Finding, judge_tile
from mobanet_mmseg.checks.measure import Layers, TileReport, measure_tile
from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset, shared_files
from mobanet_mmseg.datasets.wrappers import build_parts
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.writing import check_outputs

SPLITS = ('train', 'val', 'test')


@dataclass(frozen=True)
class CheckedTile:
    """A tile that could be measured.

    Args:
        split: Name of the split.
        classes: Names of its classes.
        palette: Their colours, None if there are none.
        report: What was measured.
        aux_kind: What its auxiliary raster holds, for pictures.
    """

    split: str
    classes: Sequence[str]
    palette: Sequence[Sequence[int]] | None
    report: TileReport
    aux_kind: str = 'height'


@dataclass(frozen=True)
class Checks:
    """What a walk through the datasets found.

    Args:
        tiles: The tiles that could be measured.
        findings: What is wrong or strange, the worst first.
    """

    tiles: list[CheckedTile]
    findings: list[Finding]

    @property
    def hurt(self) -> bool:
        """Whether anything will hurt."""
        return any(finding.level == HURTS for finding in self.findings)


def check_config(
    config: Config,
    split: str = 'all',
    on_tile: Callable[[CheckedTile, Layers], None] | None = None,
    outputs: Sequence[Path] = (),
) -> Checks:
    """Check the datasets of a config, tile by tile and against one another.

    Args:
        config: With ``train_dataloader``, ``val_dataloader``, ``test_dataloader`` or some of them.
        split: ``'train'``, ``'val'``, ``'test'`` or ``'all'``.
        on_tile: Called with each measured tile and its reduced layers, for a picture.
        outputs: Files that are there and will be replaced, none of which may be read.

    Raises:
        FileNotFoundError: If a folder, a split file or tiles of an archive are missing.
        ValueError: If the config has no such split, or datasets of another kind, or an output is
            read.
    """
    processing = config.get('model', {}).get('data_preprocessor', {})
    norm = processing.get('mean'), processing.get('std')
    tiles: list[CheckedTile] = []
    findings: list[Finding] = []
    files: dict[str, list[str]] = defaultdict(list)
    loaders = _loaders(config, split)
    datasets = {name: list(_datasets(name, loader.dataset)) for name, loader in loaders.items()}
    if outputs:
        tiles_of = (tile for split in datasets.values() for _, found in split for tile in found)
        check_outputs(outputs, files_behind(*(path for tile in tiles_of for path in tile.values())))
    for name, loader in loaders.items():
        window = _window_size(loader) if name == 'train' else None
        for dataset, found in datasets[name]:
            if not found:
                text = 'its split is empty: name the tiles, or correct the folders'
                findings.append(Finding(HURTS, name, '', text))
            files[name] += [tile['img_path'] for tile in found]
            for tile in track(found, f'Checking {name}'):
                try:
                    checked, layers = _measure(name, dataset, tile)
                except (OSError, ValueError) as error:
                    text = str(error).rstrip('.')
                    findings.append(Finding(HURTS, name, tile['img_path'], text))
                    continue
                tiles.append(checked)
                findings += [
                    Finding(level, name, tile['img_path'], text)
                    for level, text in judge_tile(checked.report, *norm, window)
                ]
                if on_tile is not None:
                    on_tile(checked, layers)
    findings += [*_judge_classes(tiles), *_judge_twins(tiles, files)]
    return Checks(tiles, sorted(findings, key=lambda finding: finding.level != HURTS))


def _measure(
    split: str, dataset: MultimodalSegDataset, tile: dict[str, Any]
) -> tuple[CheckedTile, Layers]:
    dataset.check_tile(tile)
    report, layers = measure_tile(dataset, tile)
    meta = dataset.metainfo
    palette = meta['palette'] if dataset.has_palette else None
    return CheckedTile(split, meta['classes'], palette, report, meta['aux_kind']), layers


def _loaders(config: Config, split: str) -> dict[str, Any]:
    """The data loaders to check; validation and test are one where they are the same."""
    wanted = SPLITS if split == 'all' else (split,)
    loaders = {name: config.get(f'{name}_dataloader') for name in wanted}
    loaders = {name: loader for name, loader in loaders.items() if loader is not None}
    if not loaders:
        raise ValueError(
            f'{config.filename} has no {" or ".join(f"{name}_dataloader" for name in wanted)} to '
            'check: give a config with one.'
        )
    if 'val' in loaders and loaders.get('test') == loaders['val']:
        loaders['val, test'] = loaders.pop('val')
        del loaders['test']
    return loaders


def _datasets(
    split: str, settings: Any
) -> Iterator[tuple[MultimodalSegDataset, list[dict[str, Any]]]]:
    """Build the datasets of a split, through wrappers, and name the files of their tiles."""
    for part, dataset in build_parts(settings, MultimodalSegDataset):
        if dataset is None:
            raise ValueError(
                f'The dataset of {split} is a {part["type"]}; a MultimodalSegDataset or one of '
                "ISPRS's can be checked."
            )
        dataset.label_lookup = dataset.make_label_lookup()
        tiles = dataset.find_tiles()
        dataset.leave_out_missing_aux(tiles)
        yield dataset, tiles


def _window_size(loader: Any) -> tuple[int, int] | None:
    size = loader.get('sampler', {}).get('window_size')
    return (size, size) if isinstance(size, int) else size and tuple(size)


def _judge_classes(tiles: Sequence[CheckedTile]) -> Iterator[Finding]:
    """Name the classes that no tile of a split has."""
    by_split = defaultdict(list)
    for tile in tiles:
        if tile.report.label is not None:
            by_split[tile.split, tuple(tile.classes)].append(tile.report.counts)
    for (split, classes), counts in by_split.items():
        totals = np.sum(counts, axis=0)
        absent = [name for name, total in zip(classes, totals, strict=True) if total == 0]
        if absent:
            text = (
                f'no pixel of its tiles is {", ".join(absent)}: choose other tiles, or correct '
                'the palette, label_values or classes'
            )
            yield Finding(HURTS if split == 'train' else LOOK, split, '', text)


def _judge_twins(tiles: Sequence[CheckedTile], files: dict[str, list[str]]) -> Iterator[Finding]:
    """Find tiles that are the same file, or have the same pixels."""
    same = defaultdict(list)
    for tile in tiles:
        same[tile.report.pixels].append((tile.split, tile.report.optical.path))
    said = set()
    for (split, path), *others in (members for members in same.values() if len(members) > 1):
        for other_split, other in others:
            said.add(path)
            yield _twin(split, path, other_split, other)
    for pair in itertools.combinations(files, 2):
        for path in shared_files(*(files[name] for name in pair)):
            if path not in said:  # unreadable, but named in both
                yield _twin(pair[0], path, pair[1], path)


def _twin(split: str, path: str, other_split: str, other: str) -> Finding:
    if split == other_split:
        text = f'{other} has the same pixels: it counts twice; leave one out'
        return Finding(LOOK, split, path, text)
    level = HURTS if 'train' in (split, other_split) else LOOK
    what = 'it is' if path == other else f'{other}, which has the same pixels, is'
    text = f'{what} in {other_split}, too, which flatters the model: leave one of them out'
    return Finding(level, split, path, text)
