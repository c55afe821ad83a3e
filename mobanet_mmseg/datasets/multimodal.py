"""Any pairs of an optical and an auxiliary raster, with or without labels."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.dist import is_main_process
from mmengine.fileio import list_dir_or_file, list_from_file
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from rich.progress import track

from mobanet_mmseg.datasets.splits import refuse_twice
from mobanet_mmseg.rasters.grids import check_place
from mobanet_mmseg.rasters.ranges import Percentiles, aux_ranges
from mobanet_mmseg.rasters.windows import AuxRange, check_bands, check_sizes, read_info

IGNORE_INDEX = 255
IGNORE_COLOR = (0, 0, 0)  # ISPRS: the eroded boundary
MAX_CLASSES = 254  # labels are bytes, 254 marks what no class has, 255 is ignored


class WindowIndex(NamedTuple):
    """One window of one tile, as a sampler asks a dataset for it.

    Args:
        tile: Index of the tile.
        row: First row, pixels.
        col: First column, pixels.
        height: Rows, pixels.
        width: Columns, pixels.
    """

    tile: int
    row: int
    col: int
    height: int
    width: int


@DATASETS.register_module()
class MultimodalSegDataset(BaseSegDataset):
    """Tiles of an optical raster, an auxiliary raster on the same grid, and a label raster.

    The three of a tile share a stem: ``img_path/STEM + img_suffix``, ``aux_path/STEM +
    aux_suffix``, ``seg_map_path/STEM + seg_map_suffix``. A label raster of one band holds class
    indices, one of three bands holds the palette's colours; black is no label.

    An item is one tile, or one window of it where a ``WindowIndex`` is asked for. The pipeline
    gets ``img_path``, ``aux_path``, ``seg_map_path`` (with labels), ``height``, ``width``,
    ``img_bands``, ``aux_bands``, ``aux_range``, ``label_lookup`` (label value or colour to class
    index) and ``window`` (row, col, height, width; of a ``WindowIndex``).

    Args:
        img_suffix: End of the optical rasters' names.
        aux_suffix: End of the auxiliary rasters' names.
        seg_map_suffix: End of the label rasters' names.
        ann_file: Split file, one stem a line; empty takes every optical raster there is.
        data_prefix: Folders ``img_path``, ``aux_path`` and ``seg_map_path``, under ``data_root``.
            Without ``seg_map_path`` there are no labels, which ``test_mode`` allows.
        img_bands: Bands of the optical raster, in the order of the channels.
        aux_bands: Bands of the auxiliary raster, in the order of the channels.
        aux_range: ``'tile'`` scales each auxiliary raster by its own least and greatest value;
            ``('percentile', 1, 99)`` by these percentiles of its own, beyond which values are
            clipped, so that single outliers do not squeeze the rest; a pair ``(low, high)`` in its
            unit scales all alike; None leaves the values.
        label_values: Value of each class in an index label; None counts from 0.
        label_ignore: Values of an index label that mean 'no label'; the raster's nodata value
            does, too.
        check_place: Refuse tiles whose rasters say that they lie in different places: another CRS,
            or transforms more than half a pixel apart; a raster that does not say is accepted.
            False goes by the pixels alone.

    Raises:
        FileNotFoundError: If rasters are missing.
        ValueError: If an argument or a raster does not fit.
    """

    def __init__(
        self,
        img_suffix: str = '.tif',
        aux_suffix: str = '.tif',
        seg_map_suffix: str = '.tif',
        ann_file: str = '',
        data_prefix: dict[str, str | None] | None = None,
        img_bands: Sequence[int] = (1, 2, 3),
        aux_bands: Sequence[int] = (1,),
        aux_range: str | Percentiles | AuxRange | None = 'tile',
        label_values: Sequence[int] | None = None,
        label_ignore: Sequence[int] = (IGNORE_INDEX,),
        check_place: bool = True,
        **kwargs: Any,
    ) -> None:
        for name in ('reduce_zero_label', 'backend_args'):
            if kwargs.get(name):
                raise ValueError(
                    f'{type(self).__name__} got {name}={kwargs[name]!r}, which it does not use: '
                    'say by label_values which value is which class, and keep the rasters on disk.'
                )
        self.aux_suffix = aux_suffix
        self.img_bands = tuple(img_bands)
        self.aux_bands = tuple(aux_bands)
        self.aux_range = aux_range
        self.label_values = label_values
        self.label_ignore = tuple(label_ignore)
        self.check_place = check_place
        # MMSeg draws a palette by chance where there is none: no label is painted with that.
        self.has_palette = 'palette' in (self.METAINFO | dict(kwargs.get('metainfo') or {}))
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            ann_file=ann_file,
            data_prefix={k: v for k, v in (data_prefix or {}).items() if v is not None},
            **kwargs,
        )

    def full_init(self) -> None:
        """Find the tiles, check their headers and find the auxiliary rasters' ranges."""
        if not self._fully_initialized:
            self.label_lookup = self.make_label_lookup()
        super().full_init()

    def load_data_list(self) -> list[dict]:
        """Describe each tile: its files, its size and the range of its auxiliary raster."""
        tiles = self.find_tiles()
        if not tiles:
            raise ValueError(
                f'{type(self).__name__} has no tile: its split ({self.ann_file or "all files"}) '
                f'is empty in {self.data_prefix}; name the tiles, or correct the folders.'
            )
        labelled = 'seg_map_path' in tiles[0]
        if not labelled and not self.test_mode:
            raise ValueError(
                f'{type(self).__name__} has no labels to train on: give seg_map_path in '
                'data_prefix, or test_mode=True to predict.'
            )
        self._refuse_missing(tiles)
        show = len(tiles) > 100 and is_main_process()
        for tile in track(tiles, 'Headers of the rasters', disable=not show):
            self.check_tile(tile)
        ranges = aux_ranges([tile['aux_path'] for tile in tiles], self.aux_bands, self.aux_range)
        return [tile | {'aux_range': limits} for tile, limits in zip(tiles, ranges, strict=True)]

    def find_tiles(self) -> list[dict[str, Any]]:
        """Name each tile's files: ``img_path``, ``aux_path`` and, with labels, ``seg_map_path``.

        Raises:
            FileNotFoundError: If the split file or the optical folder is missing.
            ValueError: If a folder is not given, or a tile is named twice.
        """
        folders = {key: self.data_prefix.get(key) for key in ('img_path', 'aux_path')}
        if None in folders.values():
            raise ValueError(
                f'{type(self).__name__} got data_prefix={self.data_prefix}: give the folders '
                'img_path and aux_path.'
            )
        suffixes = {'img_path': self.img_suffix, 'aux_path': self.aux_suffix}
        if 'seg_map_path' in self.data_prefix:
            folders['seg_map_path'] = self.data_prefix['seg_map_path']
            suffixes['seg_map_path'] = self.seg_map_suffix
        return [
            {key: str(Path(folder) / (stem + suffixes[key])) for key, folder in folders.items()}
            for stem in self._stems()
        ]

    def check_tile(self, tile: dict[str, Any]) -> None:
        """Check the headers of a tile's rasters and note its ``height`` and ``width``, pixels.

        Args:
            tile: Its files, as :meth:`find_tiles` names them.

        Raises:
            FileNotFoundError: If one is missing.
            ValueError: If they do not fit the dataset or one another.
        """
        info = read_info(tile['img_path'])
        aux = read_info(tile['aux_path'])
        check_bands(info, self.img_bands)
        check_bands(aux, self.aux_bands)
        others = [aux]
        if 'seg_map_path' in tile:
            label = read_info(tile['seg_map_path'])
            others.append(label)
            if label.count not in (1, 3):
                raise ValueError(
                    f'{label.path} has {label.count} bands; a label raster has 1 (class indices) '
                    'or 3 (colours): give the label of the tile, or convert it.'
                )
            if label.count == 3 and not self.has_palette:
                raise ValueError(
                    f'{label.path} is a label in colours, but the dataset has no palette: give '
                    'metainfo=dict(classes=..., palette=...), or a label of class indices.'
                )
        for other in others:
            check_sizes(other, info)
            if self.check_place:
                check_place(other, info)
        tile.update(height=info.height, width=info.width)

    def get_data_info(self, idx: int | WindowIndex) -> dict:
        """Describe one tile, or one window of it, for the pipeline.

        Args:
            idx: Index of the tile, or its window.
        """
        tile = idx.tile if isinstance(idx, WindowIndex) else idx
        info = super().get_data_info(tile)
        info.update(
            img_bands=self.img_bands,
            aux_bands=self.aux_bands,
            label_lookup=self.label_lookup,
            label_map=self.label_map,
            reduce_zero_label=False,
            seg_fields=[],
        )
        if isinstance(idx, WindowIndex):
            info['window'] = tuple(idx[1:])
        return info

    def tile_size(self, idx: int) -> tuple[str, int, int]:
        """Name a tile's optical raster and its height and width, pixels.

        Args:
            idx: Index of the tile.
        """
        info = super().get_data_info(idx)
        return info['img_path'], info['height'], info['width']

    def _stems(self) -> list[str]:
        if self.ann_file:
            if not Path(self.ann_file).is_file():
                raise FileNotFoundError(
                    f'The split file {self.ann_file} does not exist: write the stems of the tiles '
                    'into it, one a line.'
                )
            stems = [line.strip() for line in list_from_file(self.ann_file) if line.strip()]
        else:
            folder = self.data_prefix['img_path']
            if not Path(folder).is_dir():
                raise FileNotFoundError(
                    f'The folder {folder} of the optical rasters does not exist: correct '
                    'data_root or data_prefix.'
                )
            names = list_dir_or_file(folder, list_dir=False, suffix=self.img_suffix, recursive=True)
            stems = sorted(name.removesuffix(self.img_suffix) for name in names)
        refuse_twice(stems, self.ann_file)
        return stems

    def _refuse_missing(self, tiles: list[dict[str, Any]]) -> None:
        paths = [path for tile in tiles for path in tile.values()]
        missing = [path for path in paths if not os.path.isfile(path)]  # noqa: PTH113  (does not raise)
        if missing:
            shown = ', '.join(map(_describe_missing, missing[:8]))
            shown += ', ...' if len(missing) > 8 else ''
            raise FileNotFoundError(
                f'{len(missing)} of the {len(paths)} rasters of {len(tiles)} tiles are missing: '
                f'{shown}. Put them there, or leave their tiles out of the split.'
            )

    def make_label_lookup(self) -> dict[int | tuple[int, ...], int]:
        """Say which class index a label's value (int) or colour (R, G, B) means.

        Raises:
            ValueError: If there are no classes, or ``label_values`` does not fit them.
        """
        # With MMSeg's choice of classes (label_map), labels still hold all those of METAINFO.
        known = self.METAINFO if self.label_map is not None else self._metainfo
        classes = known.get('classes')
        if not classes or len(classes) > MAX_CLASSES:
            raise ValueError(
                f'{type(self).__name__} has {len(classes or ())} classes: give 1 to {MAX_CLASSES} '
                'in metainfo=dict(classes=(...), palette=[...]).'
            )
        values = range(len(classes)) if self.label_values is None else self.label_values
        if len(values) != len(classes) or len(set(values)) != len(values):
            raise ValueError(
                f'{type(self).__name__} got label_values={tuple(values)} for {len(classes)} '
                'classes: give one value per class, in the order of the classes.'
            )
        targets = [
            index if self.label_map is None else self.label_map[index]
            for index in range(len(classes))
        ]
        lookup: dict[int | tuple[int, ...], int] = dict.fromkeys(self.label_ignore, IGNORE_INDEX)
        lookup.update(zip(values, targets, strict=True))
        if self.has_palette:
            colors = [tuple(color) for color in known['palette']]
            lookup |= {IGNORE_COLOR: IGNORE_INDEX, **dict(zip(colors, targets, strict=True))}
        return lookup


def _describe_missing(path: str) -> str:
    """Name a path where no file is, and why if that is not plain."""
    if os.path.islink(path):  # noqa: PTH114  (does not raise)
        return f'{path} (a link that leads nowhere)'
    folder = Path(path).parent
    if os.access(folder, os.F_OK) and not os.access(folder, os.X_OK, effective_ids=True):
        return f'{path} (its folder may not be entered)'
    return path
