"""What MMEngine's wrappers hold, datasets joined or repeated, and a window's way through them."""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmseg.registry import DATASETS
from torch.utils.data import ConcatDataset, Dataset

from mobanet_mmseg.tiling.windows import Window


class WindowIndex(NamedTuple):
    """One window of one tile, as a sampler asks a dataset for it.

    Where datasets are joined (``ConcatDataset``) or repeated, the wrappers find a tile by
    comparing, subtracting and dividing its index, as if that were a number: the window goes along.

    Args:
        tile: Index of the tile.
        row: First row, pixels.
        col: First column, pixels.
        height: Rows, pixels.
        width: Columns, pixels.
        seed: What is drawn for this window follows from it; None from what was drawn before.
    """

    tile: int
    row: int
    col: int
    height: int
    width: int
    seed: int | None = None

    @property
    def window(self) -> Window:
        """The window within its tile."""
        return Window(*self[1:5])

    def __lt__(self, other: object) -> bool:
        """Compare the tile with a number, and windows with one another."""
        return self.tile < other if isinstance(other, int) else tuple.__lt__(self, other)

    def __sub__(self, number: int) -> 'WindowIndex':
        """The same window of an earlier tile."""
        return self._replace(tile=self.tile - number)

    def __mod__(self, number: int) -> 'WindowIndex':
        """The same window of the tile that a repeated one is."""
        return self._replace(tile=self.tile % number)


def parts(dataset: Dataset) -> Iterator[Dataset]:
    """Give the datasets that a dataset joins or repeats, each once; itself if it is no wrapper.

    Args:
        dataset: Perhaps a wrapper, or wrappers of wrappers.
    """
    if isinstance(dataset, ConcatDataset):  # MMEngine's is one
        for part in dataset.datasets:
            yield from parts(part)
    elif isinstance(dataset, RepeatDataset | ClassBalancedDataset):
        yield from parts(dataset.dataset)
    else:
        yield dataset


def settings_of_parts(settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Give the settings of the datasets that a config's dataset joins or repeats, or its own.

    Args:
        settings: The ``dataset`` of a data loader.
    """
    inner = settings.get('datasets', [settings['dataset']] if 'dataset' in settings else None)
    if inner is None:
        yield settings
    else:
        for part in inner:
            yield from settings_of_parts(part)


def build_parts(
    settings: dict[str, Any], kind: type[BaseDataset] = BaseDataset
) -> Iterator[tuple[dict[str, Any], BaseDataset | None]]:
    """Build the datasets that a config's dataset joins or repeats, without a look at their files.

    Args:
        settings: The ``dataset`` of a data loader.
        kind: What is built; a dataset of another kind is not.

    Yields:
        The settings of each dataset, and itself without a pipeline; None if it is not built.
    """
    for part in settings_of_parts(settings):
        named = DATASETS.get(part['type']) if isinstance(part['type'], str) else part['type']
        built = None
        if inspect.isclass(named) and issubclass(named, kind):
            built = DATASETS.build({**part, 'pipeline': [], 'lazy_init': True})
        yield part, built
