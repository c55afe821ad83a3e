"""Refuses to measure a model on what it was trained on."""

import logging
from contextlib import suppress

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.utils.data import Dataset

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset, shared_files, shown
from mobanet_mmseg.datasets.wrappers import build_parts, parts


@HOOKS.register_module()
class SplitOverlapHook(Hook):
    """Stops a training whose tiles are validated or tested on as well.

    Compares files, links followed; ``tools/misc/check_data.py`` compares pixels.

    Args:
        allow: Warn and go on, for example to see whether a model can learn a few tiles by heart.
    """

    def __init__(self, allow: bool = False) -> None:
        self.allow = allow

    def before_train(self, runner: Runner) -> None:
        """Compare the splits.

        Raises:
            ValueError: If they share a tile.
        """
        train = _tiles(runner.train_dataloader.dataset)
        val = [] if runner.val_loop is None else _tiles(runner.val_dataloader.dataset)
        for loader, tiles in (('val_dataloader', val), ('test_dataloader', _test_tiles(runner))):
            shared = shared_files(train, tiles)
            if not shared:
                continue
            text = (
                f'{len(shared)} of the {len(train)} training tiles are in the {loader}, too '
                f'({shown(shared)}), which would flatter the model: take them out of one of the '
                'splits, or set default_hooks.split_overlap.allow=True.'
            )
            if not self.allow:
                raise ValueError(text)
            runner.logger.log(logging.WARNING, text)


def _tiles(dataset: Dataset) -> list[str]:
    """Optical rasters of a dataset, through MMEngine's wrappers; none of another kind."""
    return [
        part.tile_size(index)[0]
        for part in parts(dataset)
        if isinstance(part, MultimodalSegDataset)
        for index in range(len(part))
    ]


def _test_tiles(runner: Runner) -> list[str]:
    """Optical rasters of the test split, which a training does not build."""
    loader = runner.cfg.get('test_dataloader')
    if loader is None or loader == runner.cfg.get('val_dataloader'):
        return []
    tiles = []
    for _, dataset in build_parts(loader['dataset'], MultimodalSegDataset):
        if dataset is not None:
            with suppress(FileNotFoundError):  # what is not here is not trained on
                tiles += [tile['img_path'] for tile in dataset.find_tiles()]
    return tiles
