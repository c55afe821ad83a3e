"""An epoch of random windows."""

import math
from collections.abc import Iterator

import numpy as np
from mmengine.dataset import RepeatDataset
from mmengine.dist import get_dist_info, sync_random_seed
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import ConcatDataset, Dataset, Sampler

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset
from mobanet_mmseg.datasets.wrappers import WindowIndex, parts


@DATA_SAMPLERS.register_module()
class RandomWindowSampler(Sampler):
    """Draws windows at random, each of all tiles' possible windows as likely as any other.

    The windows of an epoch, and what a pipeline draws for each (flips, masks), follow from the seed
    and the epoch's number alone: a resumed training goes on with the very windows of the epoch, and
    reads none of the past ones again. The processes of a distributed training share one sequence.

    Args:
        dataset: Tiles to draw from: a ``MultimodalSegDataset``, several in a ``ConcatDataset``, as
            where two folders are one training, or one that ``RepeatDataset`` makes more likely.
        num_samples: Windows of an epoch, over all processes; rounded up to the same number in
            each.
        window_size: Height and width of a window, pixels; one number for both.
        seed: Seed, the same in all processes; None draws one.

    Raises:
        ValueError: If a tile is smaller than the window, or the arguments are of another kind.
    """

    def __init__(
        self,
        dataset: Dataset,
        num_samples: int,
        window_size: int | tuple[int, int],
        seed: int | None = None,
    ) -> None:
        if num_samples < 1:
            raise ValueError(f'RandomWindowSampler got num_samples={num_samples}: give 1 or more.')
        self.rank, self.world_size = get_dist_info()
        self.num_samples = math.ceil(num_samples / self.world_size)
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.first = 0  # of this process's windows of the epoch; those before were trained on
        one_number = isinstance(window_size, int)
        self.window_size = (window_size, window_size) if one_number else tuple(window_size)
        # rows and columns where a window of each tile can begin, (number of tiles, 2)
        self.starts = np.array([self._starts(*size) for size in _tile_sizes(dataset)])
        _check_channels(dataset)

    def __iter__(self) -> Iterator[WindowIndex]:
        """Draw this process's windows of the epoch."""
        until = np.cumsum(self.starts.prod(axis=1))
        rng = np.random.default_rng([self.seed, self.epoch])
        drawn = rng.integers(until[-1], size=self.num_samples * self.world_size)
        seeds = rng.integers(2**32, size=len(drawn))
        own = slice(self.rank + self.first * self.world_size, None, self.world_size)
        for number, seed in zip(drawn[own], seeds[own], strict=True):
            tile = int(np.searchsorted(until, number, side='right'))
            within = int(number - (until[tile - 1] if tile else 0))
            row, col = divmod(within, int(self.starts[tile, 1]))
            yield WindowIndex(tile, row, col, *self.window_size, seed=int(seed))

    def __len__(self) -> int:
        """Windows of the epoch in this process, from the first one."""
        return max(0, self.num_samples - self.first)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose windows are drawn.

        Args:
            epoch: Number of the epoch, from 0.
        """
        self.epoch = epoch

    def _starts(self, path: str, height: int, width: int) -> tuple[int, int]:
        h, w = self.window_size
        if height < h or width < w:
            raise ValueError(
                f'{path} has {height} x {width} pixels, fewer than the window of {h} x {w}: give '
                'a smaller window_size (crop_size in the configs), or leave the tile out of the '
                'split.'
            )
        return height - h + 1, width - w + 1


def _tile_sizes(dataset: Dataset) -> list[tuple[str, int, int]]:
    """Optical raster, height and width of each tile, in the order of the dataset's indices."""
    if isinstance(dataset, ConcatDataset):  # MMEngine's is one
        return [size for part in dataset.datasets for size in _tile_sizes(part)]
    if isinstance(dataset, RepeatDataset):
        return _tile_sizes(dataset.dataset) * dataset.times
    if not isinstance(dataset, MultimodalSegDataset):
        raise ValueError(
            'RandomWindowSampler draws from a MultimodalSegDataset, or several in a ConcatDataset '
            f'or RepeatDataset, and got a {type(dataset).__name__}: name the dataset without that '
            'wrapper, and the length of an epoch by num_samples.'
        )
    return [dataset.tile_size(index) for index in range(len(dataset))]


def _check_channels(dataset: Dataset) -> None:
    """Refuse datasets whose samples do not fit into one batch."""
    bands = {(len(part.img_bands), len(part.aux_bands)) for part in parts(dataset)}
    if len(bands) > 1:
        found = ' and '.join(f'{optical} + {aux}' for optical, aux in sorted(bands))
        raise ValueError(
            f'The datasets that are joined for training have {found} optical + auxiliary channels, '
            'which do not fit into one batch: give them img_bands and aux_bands of one number.'
        )
