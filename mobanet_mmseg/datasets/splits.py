"""One word of a config says which published split its data loaders read."""

import inspect

from mmengine.config import Config
from mmseg.registry import DATASETS

from mobanet_mmseg.datasets.isprs import ISPRSArchiveDataset
from mobanet_mmseg.datasets.wrappers import settings_of_parts

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def follow_split(config: Config) -> None:
    """Let the datasets of ISPRS's archives follow the ``split`` of a config, in place.

    Those follow whose ``tiles`` are ``'train'`` or ``'test'``; named ones stay. Where the config
    has ``train_tiles`` and ``test_tiles``, these become the split's, too.

    Args:
        config: A whole one; without ``split`` it stays as it is.

    Raises:
        ValueError: If there is no such split, or a dataset says another one than the config.
    """
    split = config.get('split')
    if split is None:
        return
    for name in LOADERS:
        loader = config.get(name) or {}
        for settings in settings_of_parts(loader.get('dataset') or {'type': None}):
            kind = settings['type']
            kind = DATASETS.get(kind) if isinstance(kind, str) else kind
            if not (inspect.isclass(kind) and issubclass(kind, ISPRSArchiveDataset)):
                continue
            tiles = kind.splits()
            if split not in tiles:
                raise ValueError(f'The config has split={split!r}: give one of {list(tiles)}.')
            if settings.get('split', split) != split:
                raise ValueError(
                    f'The config has split={split!r}, but {name}.dataset.split='
                    f'{settings["split"]!r}: say one of them at the top of the config alone.'
                )
            if split != 'paper':  # which a dataset takes by itself
                settings['split'] = split
            part = settings.get('tiles', 'train')
            if isinstance(part, str) and f'{part}_tiles' in config:
                config[f'{part}_tiles'] = list(tiles[split][part])
