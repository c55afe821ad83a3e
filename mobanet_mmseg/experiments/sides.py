"""What is compared: label maps of test tiles, predicted by a checkpoint or by anything else."""

import gc
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, METRICS

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.splits import follow_split
from mobanet_mmseg.datasets.wrappers import settings_of_parts
from mobanet_mmseg.engine.agreement import check_agreement
from mobanet_mmseg.engine.runner import SafeRunner
from mobanet_mmseg.evaluation.segmentation_metric import SegmentationMetric
from mobanet_mmseg.experiments.runs import CONFIG, WORK
from mobanet_mmseg.weights.newest import last_checkpoint, newest_checkpoint
from mobanet_mmseg.writing import Stems

TEMPLATES = ('epoch_{}.pth', 'iter_{}.pth')
READING = [dict(type='LoadMultimodalRaster'), dict(type='LoadRasterAnnotations')]


@dataclass(frozen=True)
class Side:
    """One of the runs that are compared.

    Args:
        name: What the report calls it.
        config: Its test dataset says which tiles there are, and their truth.
        maps: Folder of its label maps, ``<stem of the optical raster>.tif``.
        checkpoint: What predicts the maps; None where they are there already.
        files: Of the run that are read, besides the maps and the tiles.
    """

    name: str
    config: Config
    maps: Path
    checkpoint: Path | None = None
    files: tuple[Path, ...] = ()

    @classmethod
    def of_checkpoint(cls, name: str, config: Path, checkpoint: Path, out: Path) -> 'Side':
        """Compare what a checkpoint predicts.

        Args:
            name: What the report calls it.
            config: Config file.
            checkpoint: Checkpoint file.
            out: Folder in which the maps get one of their own.

        Raises:
            FileNotFoundError: If a file is missing.
        """
        for path in (config, checkpoint):
            if not path.is_file():
                raise FileNotFoundError(f'{path} of {name} does not exist.')
        files = (config, checkpoint)
        return cls(name, Config.fromfile(config), out / name, checkpoint, files)

    @classmethod
    def of_folder(cls, name: str, folder: Path, config: Path | None, out: Path) -> 'Side':
        """Compare the run of a folder: one of label maps, or with a config and checkpoints.

        Args:
            name: What the report calls it.
            folder: Of the run.
            config: Config file of label maps, which says which tiles they are of.
            out: See :meth:`of_checkpoint`.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If it holds neither.
        """
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder} is no folder: give those of runs, or --run.')
        configs = sorted(folder.glob('*.py'))
        if not configs and any(folder.glob('*.tif')):
            if config is None:
                raise ValueError(
                    f'{folder} holds label maps: give by --config a config whose test dataset '
                    'names their tiles and the truth.'
                )
            return cls(name, Config.fromfile(config), folder, None, (config,))
        named = [path for path in configs if path.name == CONFIG] or configs
        checkpoint = find_checkpoint(folder / WORK) or find_checkpoint(folder)
        if len(named) != 1 or checkpoint is None:
            raise ValueError(
                f'{folder} holds {len(configs)} configs (*.py) and '
                f'{"no" if checkpoint is None else "a"} checkpoint, and no label maps: give the '
                'work folder of a training, a folder of label maps (*.tif), or --run.'
            )
        return cls.of_checkpoint(name, named[0], checkpoint, out)

    def predict(self, logs: Path) -> None:
        """Let the checkpoint predict the label maps of the test tiles.

        Args:
            logs: Folder of the logs.

        Raises:
            OSError: If a file is missing, or a map cannot be written.
            ValueError: If the checkpoint does not fit, or a raster would be written over.
        """
        config = deepcopy(self.config)
        config.update(load_from=str(self.checkpoint), resume=False, work_dir=str(logs / self.name))
        hook = dict(type='SavePredictionHook', out_dir=str(self.maps))
        config.custom_hooks = [*config.get('custom_hooks', []), hook]
        check_agreement(config, ('test',))
        SafeRunner.from_cfg(config).test()
        gc.collect()  # the network, before the next one is there

    @property
    def excluded_classes(self) -> tuple[str, ...]:
        """The classes that the means of its metric leave out."""
        settings = self.config.get('test_evaluator') or {}
        for each in settings if isinstance(settings, list | tuple) else [settings]:
            metric = METRICS.build(deepcopy(each)) if each else None
            if isinstance(metric, SegmentationMetric):
                return metric.excluded_classes
        return ()

    def tiles(self) -> dict[Path, 'Tile']:
        """Give the test tiles by the file of their truth.

        Raises:
            OSError: If a raster is missing.
            ValueError: If the test dataset is of another kind, or has no labels.
        """
        found, stems = {}, Stems()  # in the order in which the test names them
        for dataset in test_datasets(self.config):
            for index in range(len(dataset)):
                info = dataset.get_data_info(index)
                if 'seg_map_path' not in info:
                    raise ValueError(
                        f'The test tiles of {self.name} have no labels (seg_map_path) to compare '
                        'with: give them their labels.'
                    )
                name = stems.of(info['img_path'])
                tile = Tile(name, dataset, index, info, self.maps / f'{name}.tif')
                found[Path(info['seg_map_path']).resolve()] = tile
        return found


@dataclass(frozen=True)
class Tile:
    """One test tile of a side.

    Args:
        name: Of its label map and picture.
        dataset: What reads it, window by window.
        index: Its place in there.
        info: Its files and its size.
        label_map: Where its prediction is.
    """

    name: str
    dataset: MultimodalSegDataset
    index: int
    info: dict[str, Any]
    label_map: Path

    @property
    def rasters(self) -> list[str]:
        """What is read of it."""
        keys = ('img_path', 'aux_path', 'seg_map_path')
        return [self.info[key] for key in keys if self.info.get(key) is not None]


def find_checkpoint(folder: Path) -> Path | None:
    """Find the newest whole checkpoint of a training.

    Args:
        folder: Where the training wrote its checkpoints.
    """
    named = last_checkpoint(folder)
    kind = Path(named).name.split('_')[0]
    templates = sorted(TEMPLATES, key=lambda template: not template.startswith(kind))
    found = (newest_checkpoint(folder, template, named).path for template in templates)
    return next((path for path in found if path is not None), None)


def parse_sides(
    folders: Sequence[str],
    checkpoints: Sequence[tuple[str, str, str]],
    config: Path | None,
    out: Path,
) -> list[Side]:
    """Read what a user types.

    Args:
        folders: ``FOLDER`` or ``NAME=FOLDER`` of runs.
        checkpoints: Names, configs and checkpoints.
        config: Config file of folders of label maps.
        out: Folder in which predicted maps get folders of their own.

    Raises:
        OSError: If a file or folder is missing.
        ValueError: If there are fewer than two, two have one name, or a folder is no run.
    """
    sides = []
    for text in folders:
        name, _, folder = text.rpartition('=')
        path = Path(folder)
        sides.append(Side.of_folder(name or _default_name(path), path, config, out))
    sides += [Side.of_checkpoint(n, Path(c), Path(p), out) for n, c, p in checkpoints]
    names = [side.name for side in sides]
    double = sorted({name for name in names if names.count(name) > 1})
    if len(sides) < 2 or double or any('/' in name for name in names):
        raise ValueError(
            f'{len(sides)} runs are to be compared, called {names}: give two or more, and each a '
            'name of its own (NAME=FOLDER) without a slash.'
        )
    return sides


def _default_name(folder: Path) -> str:
    """Names a run by its folder; that of a seed by the folder above, too."""
    folder = folder.resolve()
    return f'{folder.parent.name}_{folder.name}' if folder.name.startswith('seed_') else folder.name


def test_datasets(config: Config) -> Iterator[MultimodalSegDataset]:
    """Build the test datasets of a config, of the split that it names; they read and no more.

    Args:
        config: With a ``test_dataloader``; it stays as it is.

    Raises:
        OSError: If a raster is missing.
        ValueError: If one is no ``MultimodalSegDataset``.
    """
    init_default_scope(config.get('default_scope', 'mmseg'))
    config = deepcopy(config)
    follow_split(config)
    for settings in settings_of_parts(config.test_dataloader.dataset):
        kind = DATASETS.get(settings['type'])
        if kind is None or not issubclass(kind, MultimodalSegDataset):
            raise ValueError(
                f'The test dataset is a {settings["type"]}, which is not read tile by tile here: '
                'give a config with a MultimodalSegDataset.'
            )
        yield DATASETS.build({**settings, 'pipeline': READING})
