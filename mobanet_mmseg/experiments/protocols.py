"""What all rows of a table have in common: data, schedule, window, and where weights start."""

import re
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmseg.registry import DATASETS

from mobanet_mmseg.datasets.isprs import ISPRSArchiveDataset, ISPRSPotsdamDataset
from mobanet_mmseg.experiments.cost import random_weights
from mobanet_mmseg.synthetic import write_archive

DATA = {'potsdam': 'ISPRS Potsdam', 'vaihingen': 'ISPRS Vaihingen', 'city': 'a synthetic city'}
OWN = 'own'  # rasters that the configs themselves name
CITY = Path('data/synthetic')
CITY_TILES = (*ISPRSPotsdamDataset.TRAIN_TILES[:8], *ISPRSPotsdamDataset.TEST_TILES[:2])
CITY_SIZE, CITY_GSD = 1024, 0.1  # pixels, metres: those of the demo
PAPER = 'paper'
WINDOW = 256  # pixels, the paper's
LEAST_ITERATIONS = 4  # two of warm-up, two of the cosine
SAVED = 10  # times that a short training saves a checkpoint to go on from


@dataclass(frozen=True)
class Schedule:
    """A short training, for a demonstration: warm-up in its first tenth, then a cosine.

    Args:
        iterations: Of the optimizer.
        batch_size: Windows in each.
    """

    iterations: int
    batch_size: int

    @classmethod
    def parse(cls, text: str) -> 'Schedule | None':
        """Read what a user types.

        Args:
            text: ``paper``, or iterations and batch size as in ``400x4``.

        Returns:
            None for the schedule that each config has.

        Raises:
            ValueError: If it is neither.
        """
        if text == PAPER:
            return None
        match = re.fullmatch(r'(\d+)x(\d+)', text)
        if match is None or int(match[1]) < LEAST_ITERATIONS or int(match[2]) < 2:
            raise ValueError(
                f"The schedule is {text!r}: give 'paper', or ITERATIONSxBATCH such as 400x4, at "
                f'least {LEAST_ITERATIONS} iterations of 2 windows.'
            )
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        """As it is typed."""
        return f'{self.iterations}x{self.batch_size}'


@dataclass(frozen=True)
class Protocol:
    """What all rows of a table have in common.

    Args:
        data: One of ``DATA``, or ``OWN``.
        data_root: Folder of the archive; None is that of the configs, or ``CITY``.
        schedule: A short one; None is that of the configs: the paper's, in all but the published.
        window: Side of the crops and of the windows of prediction, pixels, which step by half of
            it; None leaves each config its own.
        published: Whether the configs are the networks' own recipes.
        from_scratch: Whether no pretrained weights are looked for.
    """

    data: str
    data_root: Path | None = None
    schedule: Schedule | None = None
    window: int | None = WINDOW
    published: bool = False
    from_scratch: bool = False

    @property
    def root(self) -> Path | None:
        """Folder of the archive; None leaves each config its own."""
        return CITY if self.data == 'city' and self.data_root is None else self.data_root

    @property
    def archive(self) -> str:
        """Whose configs are used: the city is a Potsdam."""
        return 'potsdam' if self.data == 'city' else self.data

    @property
    def slug(self) -> str:
        """Names the protocol in a path."""
        parts = [self.data, PAPER if self.schedule is None else str(self.schedule)]
        parts += [] if self.window in (None, WINDOW) else [f'window{self.window}']
        parts += ['published'] if self.published else []
        return '_'.join([*parts, 'scratch'] if self.from_scratch else parts)

    def apply(self, config: Config) -> None:
        """Make a config one of this protocol, in place.

        Args:
            config: A whole one, as a training takes it.
        """
        if self.data != OWN:
            self._set_data(config)
        if self.window is not None:
            self._set_window(config, self.window)
        if self.schedule is not None:
            self._set_schedule(config, self.schedule)
        if self.from_scratch:
            config.merge_from_dict(dict(random_weights(config.model)))

    def _set_data(self, config: Config) -> None:
        tiles = city_tiles(self.root) if self.data == 'city' else {}
        for split in ('train', 'test'):
            dataset = config[f'{split}_dataloader'].dataset
            kind = DATASETS.get(dataset.get('type', ''))
            if kind is None or not issubclass(kind, ISPRSArchiveDataset):
                raise ValueError(
                    f'{config.filename} reads a {dataset.get("type")}, which is no ISPRS archive: '
                    f'give --data {OWN} for rasters of your own.'
                )
            if self.root is not None:
                dataset.data_root = str(self.root)
            if tiles:
                dataset.tiles = tiles[split]

    @staticmethod
    def _set_window(config: Config, side: int) -> None:
        size = (side, side)
        config.crop_size = size
        config.train_dataloader.sampler.window_size = size
        config.model.test_cfg.update(mode='slide', crop_size=size, stride=(side // 2,) * 2)
        if config.model.data_preprocessor.get('size') is not None:
            config.model.data_preprocessor.size = size

    @staticmethod
    def _set_schedule(config: Config, schedule: Schedule) -> None:
        iterations, batch_size = schedule.iterations, schedule.batch_size
        warm_up = max(2, iterations // 10)
        loader = config.train_dataloader
        loader.batch_size = batch_size
        window = loader.sampler.get('window_size') or config.crop_size
        loader.sampler = dict(
            type='RandomWindowSampler', num_samples=iterations * batch_size, window_size=window
        )
        loader.pop('batch_sampler', None)
        # as the paper's: 5 of 50 epochs
        config.param_scheduler = [
            dict(type='LinearLR', start_factor=0.01, begin=0, end=warm_up, by_epoch=False),
            dict(
                type='CosineAnnealingLR',
                eta_min=1e-6,
                begin=warm_up,
                end=iterations,
                by_epoch=False,
            ),
        ]
        config.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
        config.log_processor = dict(by_epoch=True)
        config.default_hooks.logger.interval = max(1, iterations // (5 * SAVED))
        config.default_hooks.checkpoint.update(
            by_epoch=False, interval=max(1, iterations // SAVED), max_keep_ckpts=1
        )


def city_tiles(root: Path) -> dict[str, list[str]]:
    """Name the tiles of an archive in Potsdam's layout, by split.

    Args:
        root: Its folder.

    Raises:
        FileNotFoundError: If there are none to train on, or none to test on.
    """
    source = ISPRSPotsdamDataset.OPTICAL['rgb']
    splits = {'train': ISPRSPotsdamDataset.TRAIN_TILES, 'test': ISPRSPotsdamDataset.TEST_TILES}
    found: dict[str, list[str]] = {}
    for split, tiles in splits.items():
        names = {tile: source.name.format(tile=tile) for tile in tiles}
        places = [root / folder for folder in source.folders]
        found[split] = [t for t in tiles if any((p / names[t]).is_file() for p in places)]
        if not found[split]:
            raise FileNotFoundError(
                f'{root} has no {split} tile of a city: python tools/make_synthetic_isprs.py '
                f'{root} --size {CITY_SIZE} --gsd {CITY_GSD} --train 8 --test 2 writes one.'
            )
    return found


def write_city(root: Path) -> None:
    """Write the demo's city.

    Args:
        root: A folder that is not there yet.

    Raises:
        OSError: If a file cannot be written.
    """
    write_archive(root, CITY_TILES, size=CITY_SIZE, gsd=CITY_GSD)
