"""Which tiles a trained model is watched on: those of its test set, or a pair of rasters."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mmengine.config import Config

from mobanet_mmseg.experiments.sides import test_datasets
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.writing import Stems, check_outputs


class TilePaths(NamedTuple):
    """The rasters of one tile.

    Args:
        name: What is written of it begins with that.
        rgb: Optical raster.
        aux: Auxiliary raster; None where the model takes zeros for it.
        label: Its labels, if there are any.
    """

    name: str
    rgb: str
    aux: str | None = None
    label: str | None = None

    @property
    def rasters(self) -> list[str]:
        """What is read of it."""
        return [path for path in (self.rgb, self.aux, self.label) if path is not None]


def find_test_tiles(config: Config, names: Sequence[str] | None = None) -> list[TilePaths]:
    """List the test tiles of a config.

    Args:
        config: With a ``test_dataloader``.
        names: Stems of the optical rasters that are wanted, or parts of them that only one has,
            such as ``2_13``; None for all.

    Raises:
        OSError: If a raster is missing.
        ValueError: If the test dataset is of another kind, or a name is not that of one tile.
    """
    stems, tiles = Stems(), []
    for dataset in test_datasets(config):
        for index in range(len(dataset)):
            info = dataset.get_data_info(index)
            paths = (info.get(key) for key in ('img_path', 'aux_path', 'seg_map_path'))
            tiles.append(TilePaths(stems.of(info['img_path']), *paths))
    return tiles if names is None else [_choose(tiles, name) for name in names]


def _choose(tiles: Sequence[TilePaths], name: str) -> TilePaths:
    found = [tile for tile in tiles if tile.name == name]
    found = found or [tile for tile in tiles if name in tile.name]
    if len(found) != 1:
        known = ', '.join(tile.name for tile in tiles)
        raise ValueError(f'{len(found)} test tiles are called {name}: give one of {known}.')
    return found[0]


def find_tiles(
    config: Config,
    names: Sequence[str] | None,
    rgb: str | None,
    aux: str | None,
    label: str | None,
) -> list[TilePaths]:
    """Read what a user types: some of the test tiles, or rasters in their place.

    Args:
        config: With a ``test_dataloader``.
        names: As for :func:`find_test_tiles`.
        rgb: Optical raster.
        aux: Its auxiliary raster.
        label: Its labels.

    Raises:
        OSError: If a raster is missing.
        ValueError: If it is both, or the one that is given is not found.
    """
    if rgb is None:
        if aux is not None or label is not None:
            raise ValueError('--aux and --label are those of a raster: give --rgb too.')
        return find_test_tiles(config, names)
    if names:
        raise ValueError('Give --rgb, or names of test tiles, and not both.')
    return [TilePaths(Path(rgb).stem, rgb, aux, label)]


def check_places(tiles: Sequence[TilePaths], files: Sequence[str | Path], out: Path) -> None:
    """Refuse to write over what is read, or into a folder where it lies.

    Args:
        tiles: Whose rasters are read.
        files: What else is read.
        out: The file or folder that is written.

    Raises:
        ValueError: If it is one of them, or holds one.
    """
    rasters = [path for tile in tiles for path in tile.rasters]
    check_outputs([out], [*files, *files_behind(*rasters)])
