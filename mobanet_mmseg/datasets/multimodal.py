"""Any optical rasters, with or without auxiliary ones, with or without labels."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from mmengine.dist import is_main_process
from mmengine.fileio import list_dir_or_file
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from rich.progress import track

from mobanet_mmseg.classes import IGNORE_INDEX, MAX_CLASSES
from mobanet_mmseg.datasets.randomness import seed_generators
from mobanet_mmseg.datasets.wrappers import WindowIndex
from mobanet_mmseg.modalities import AUX_KINDS, AuxRange, Limit, read_fill
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.grids import check_place, check_sizes
from mobanet_mmseg.rasters.ranges import aux_ranges
from mobanet_mmseg.rasters.windows import check_bands
from mobanet_mmseg.writing import file_number, read_text

IGNORE_COLOR = (0, 0, 0)  # ISPRS: the eroded boundary
SHOWN = 8  # names in a sentence


@DATASETS.register_module()
class MultimodalSegDataset(BaseSegDataset):
    """Tiles of an optical raster, an auxiliary raster on the same grid, and a label raster.

    The three of a tile share a stem: ``img_path/STEM + img_suffix``, ``aux_path/STEM +
    aux_suffix``, ``seg_map_path/STEM + seg_map_suffix``. A label raster of one band holds class
    indices, one of three bands holds the palette's colours; black is no label. Without ``aux_path``
    in ``data_prefix`` the samples are the optical image alone, of ``len(img_bands)`` channels, as
    any stock model takes it.

    An item is one tile, or one window of it where a ``WindowIndex`` is asked for. The pipeline
    gets ``img_path``, ``aux_path`` (of a tile that has one), ``seg_map_path`` (with labels),
    ``height``, ``width``, ``img_bands``, ``aux_bands``, ``aux_range``, ``aux_fill``,
    ``label_lookup`` (label value or colour to class index) and ``window`` (of a ``WindowIndex``).

    Args:
        img_suffix: End of the optical rasters' names.
        aux_suffix: End of the auxiliary rasters' names.
        seg_map_suffix: End of the label rasters' names.
        ann_file: Split file, one stem a line; empty takes every optical raster there is.
        data_prefix: Folders ``img_path``, ``aux_path`` and ``seg_map_path``, under ``data_root``.
            Without ``aux_path`` there is no auxiliary modality; without ``seg_map_path`` there are
            no labels, which ``test_mode`` allows.
        img_bands: Bands of the optical raster, in the order of the channels.
        aux_bands: Bands of the auxiliary raster, in the order of the channels; ``()`` reads none.
        aux_range: ``'tile'`` scales each auxiliary raster by its own least and greatest value;
            ``('percentile', 1, 99)`` by these percentiles of its own, beyond which values are
            clipped, so that single outliers do not squeeze the rest; a pair ``(low, high)`` in its
            unit scales all alike; None leaves the values.
        aux_kind: What the auxiliary raster holds, for pictures: ``'height'`` is drawn as relief,
            ``'sar'`` (backscatter in decibels) grey, ``'bands'`` (of a spectrum) by the first three
            in colour. It is kept in the ``metainfo``.
        label_values: Value of each class in an index label; None counts from 0.
        label_ignore: Values of an index label that mean 'no label'; the raster's nodata value
            does, too.
        tiled_from: What the tiles were cut from, by which prediction reads other rasters than
            tiles: ``img_bands`` and ``aux_bands`` are the numbers there of the tiles' bands 1, 2
            ..., ``label_values`` pairs of a value or colour there and a class index (None: as
            in the tiles).
        check_place: Refuse tiles whose rasters say that they lie in different places: another CRS,
            or transforms more than half a pixel apart; a raster that does not say is accepted.
            False goes by the pixels alone.
        missing_aux: What becomes of a tile whose auxiliary raster is missing: ``'error'`` stops,
            ``'zeros'`` gives it auxiliary channels of ``aux_fill``, as if all of it were nodata.
        aux_fill: Value of the auxiliary channels, after the scaling, where there are no data; one
            number, or one per channel. The model's ``mean`` of them makes no data 0 after the
            normalisation, which is what MCRM masks by.

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
        aux_range: Any = 'tile',
        aux_kind: Literal['height', 'sar', 'bands'] = 'height',
        label_values: Sequence[int] | None = None,
        label_ignore: Sequence[int] = (IGNORE_INDEX,),
        tiled_from: dict[str, Any] | None = None,
        check_place: bool = True,
        missing_aux: Literal['error', 'zeros'] = 'error',
        aux_fill: Limit = 0.0,
        **kwargs: Any,
    ) -> None:
        for name in ('reduce_zero_label', 'backend_args'):
            if kwargs.get(name):
                raise ValueError(
                    f'{type(self).__name__} got {name}={kwargs[name]!r}, which it does not use: '
                    'say by label_values which value is which class, and keep the rasters on disk.'
                )
        if missing_aux not in ('error', 'zeros'):
            raise ValueError(
                f"{type(self).__name__} got missing_aux={missing_aux!r}: give 'error' or 'zeros'."
            )
        if aux_kind not in AUX_KINDS:
            raise ValueError(
                f'{type(self).__name__} got aux_kind={aux_kind!r}: give one of '
                f'{", ".join(map(repr, AUX_KINDS))}.'
            )
        data_prefix = {k: v for k, v in (data_prefix or {}).items() if v is not None}
        self.aux_suffix = aux_suffix
        self.img_bands = tuple(img_bands)
        self.aux_bands = () if data_prefix and 'aux_path' not in data_prefix else tuple(aux_bands)
        self.aux_range = aux_range
        self.aux_fill = read_fill(aux_fill, len(self.aux_bands))
        self.label_values = label_values
        self.label_ignore = tuple(label_ignore)
        self.tiled_from = tiled_from
        self.check_place = check_place
        self.missing_aux = missing_aux
        # MMSeg draws a palette by chance where there is none: no label is painted with that.
        self.has_palette = 'palette' in (self.METAINFO | dict(kwargs.get('metainfo') or {}))
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            ann_file=ann_file,
            data_prefix=data_prefix,
            **kwargs,
        )
        self._metainfo['aux_kind'] = aux_kind

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
        self.leave_out_missing_aux(tiles)
        self._refuse_missing(tiles)
        show = len(tiles) > 100 and is_main_process()
        for tile in track(tiles, 'Headers of the rasters', disable=not show):
            self.check_tile(tile)
        paired = [tile for tile in tiles if 'aux_path' in tile]
        scaled_by = AuxRange.parse(self.aux_range, optional=self.missing_aux == 'zeros')
        ranges = aux_ranges([tile['aux_path'] for tile in paired], self.aux_bands, scaled_by)
        for tile, scaling in zip(paired, ranges, strict=True):
            tile['aux_range'] = scaling
        return tiles

    def find_tiles(self) -> list[dict[str, Any]]:
        """Name each tile's files: ``img_path``, perhaps ``aux_path``, perhaps ``seg_map_path``.

        Raises:
            FileNotFoundError: If the split file or the optical folder is missing.
            ValueError: If no optical folder is given, or a tile is named twice.
        """
        if 'img_path' not in self.data_prefix:
            raise ValueError(
                f'{type(self).__name__} got data_prefix={self.data_prefix}: give the folder '
                'img_path, and aux_path where there is an auxiliary modality.'
            )
        suffixes = {'img_path': self.img_suffix, 'seg_map_path': self.seg_map_suffix}
        if self.aux_bands:
            suffixes['aux_path'] = self.aux_suffix
        folders = {key: Path(self.data_prefix[key]) for key in suffixes if key in self.data_prefix}
        return [
            {key: str(folder / (stem + suffixes[key])) for key, folder in folders.items()}
            for stem in self._stems()
        ]

    def leave_out_missing_aux(self, tiles: list[dict[str, Any]]) -> None:
        """Take the auxiliary rasters that are not there out of the tiles, where that is allowed.

        Args:
            tiles: As :meth:`find_tiles` names them; changed in place.
        """
        if not self.aux_bands or self.missing_aux != 'zeros':
            return
        without = [tile for tile in tiles if not _is_file(tile.get('aux_path'))]
        for tile in without:
            tile.pop('aux_path', None)
        if without:
            print_log(
                f'{len(without)} of {len(tiles)} tiles have no auxiliary raster, which is '
                f'{self.aux_fill or 0} for them (missing_aux): '
                f'{shown([tile["img_path"] for tile in without])}.',
                logger='current',
                level=logging.WARNING,
            )

    def check_tile(self, tile: dict[str, Any]) -> None:
        """Check the headers of a tile's rasters and note its ``height`` and ``width``, pixels.

        Args:
            tile: Its files, as :meth:`find_tiles` names them.

        Raises:
            FileNotFoundError: If one is missing.
            ValueError: If they do not fit the dataset or one another.
        """
        info = read_info(tile['img_path'])
        check_bands(info, self.img_bands)
        others = []
        if 'aux_path' in tile:
            others.append(read_info(tile['aux_path']))
            check_bands(others[0], self.aux_bands)
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
            aux_range=info.get('aux_range'),
            aux_fill=self.aux_fill,
            label_lookup=self.label_lookup,
            label_map=self.label_map,
            reduce_zero_label=False,
            seg_fields=[],
        )
        if isinstance(idx, WindowIndex):
            info['window'] = idx.window
        return info

    def prepare_data(self, idx: int | WindowIndex) -> Any:
        """Give one tile, or one window of it, as the pipeline makes it.

        Args:
            idx: Index of the tile, or its window, from whose seed all follows that is drawn for it.
        """
        if isinstance(idx, WindowIndex) and idx.seed is not None:
            seed_generators(idx.seed)
        return super().prepare_data(idx)

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
            stems = [line.strip() for line in read_text(self.ann_file).splitlines() if line.strip()]
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
        missing = [path for path in paths if not _is_file(path)]
        if missing:
            raise FileNotFoundError(
                f'{len(missing)} of the {len(paths)} rasters of {len(tiles)} tiles are missing: '
                f'{shown(missing, _describe_missing)}. Put them there, or leave their tiles out '
                'of the split.'
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


def refuse_twice(tiles: Sequence[str], source: str) -> None:
    """Refuse a split that names a tile more than once.

    Args:
        tiles: Names of the tiles.
        source: Where they are named.

    Raises:
        ValueError: If one is named again.
    """
    twice = [tile for tile, count in Counter(tiles).items() if count > 1]
    if twice:
        raise ValueError(f'{source} names {twice} more than once: name a tile once.')


def shared_files(paths: Sequence[str], others: Sequence[str]) -> list[str]:
    """Name the files of one split that another split reads, too, links followed.

    Args:
        paths: Files of one split; one that is missing is in no other.
        others: Files of the other.
    """
    known = {file_number(path) for path in others} - {None}
    return [path for path in paths if file_number(path) in known]


def shown(names: Sequence[str], describe: Callable[[str], str] = str) -> str:
    """List names in a sentence, the first few of many.

    Args:
        names: What to list.
        describe: What is said of each.
    """
    return ', '.join(map(describe, names[:SHOWN])) + (', ...' if len(names) > SHOWN else '')


def _is_file(path: str | None) -> bool:
    return path is not None and os.path.isfile(path)  # noqa: PTH113  (does not raise)


def _describe_missing(path: str) -> str:
    """Name a path where no file is, and why if that is not plain."""
    if os.path.islink(path):  # noqa: PTH114  (does not raise)
        return f'{path} (a link that leads nowhere)'
    folder = Path(path).parent
    if os.access(folder, os.F_OK) and not os.access(folder, os.X_OK, effective_ids=True):
        return f'{path} (its folder may not be entered)'
    return path
