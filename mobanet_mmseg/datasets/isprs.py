"""The ISPRS Potsdam and Vaihingen archives, read from their own folders under their own names.

https://www.isprs.org/education/benchmarks/UrbanSemLab/default.aspx
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from mmseg.registry import DATASETS

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset, refuse_twice, shown
from mobanet_mmseg.datasets.wrappers import WindowIndex


class Source(NamedTuple):
    """Where an archive keeps one kind of raster.

    Args:
        name: File name, with ``{row}`` and ``{col}`` of the tile (Potsdam) or ``{tile}``.
        folders: Folders that hold it, the usual one first: downloads differ.
    """

    name: str
    folders: tuple[str, ...]


class ISPRSArchiveDataset(MultimodalSegDataset):
    """What both archives have in common.

    A folder may hold one of its own name, as an unpacked archive does.

    Args:
        tiles: ``'train'`` or ``'test'`` for those of the split, or names of tiles.
        optical: Which optical raster is read, one of ``OPTICAL``.
        height: Which auxiliary raster is read, one of ``HEIGHT``; None for the optical image alone.
        labels: ``'eroded'`` ignores the 3 pixels around each boundary, ``'full'`` does not; None
            reads no labels, which ``test_mode`` allows.
        split: ``'paper'`` is the benchmark's, which MoBaNet's paper reports; ``'ssrs'`` that of the
            codes of CMFNet, FTransUNet, MANet and MM-DINO, whose test tiles ``'paper'`` trains on.

    Raises:
        FileNotFoundError: If rasters are missing.
        ValueError: If an argument is none of the choices.
    """

    METAINFO: ClassVar[dict] = {
        'classes': ('impervious_surface', 'building', 'low_vegetation', 'tree', 'car', 'clutter'),
        'palette': [
            [255, 255, 255],
            [0, 0, 255],
            [0, 255, 255],
            [0, 255, 0],
            [255, 255, 0],
            [255, 0, 0],
        ],
    }
    TRAIN_TILES: ClassVar[tuple[str, ...]]
    TEST_TILES: ClassVar[tuple[str, ...]]
    SSRS_TEST_TILES: ClassVar[tuple[str, ...]]
    OPTICAL: ClassVar[dict[str, Source]]
    HEIGHT: ClassVar[dict[str, Source]]
    LABELS: ClassVar[dict[str, Source]]
    IMG_BANDS: ClassVar[dict[str, tuple[int, ...]]] = {}

    def __init__(
        self,
        tiles: str | Sequence[str] = 'train',
        optical: str = 'rgb',
        height: str | None = 'dsm',
        labels: str | None = 'eroded',
        split: str = 'paper',
        **kwargs: Any,
    ) -> None:
        name = type(self).__name__
        unused = {'ann_file', 'data_prefix', 'img_suffix', 'aux_suffix', 'seg_map_suffix'}
        if unused & kwargs.keys():
            raise ValueError(
                f'{name} got {sorted(unused & kwargs.keys())}, but finds the files of the archive '
                'by itself: give data_root and tiles, or use MultimodalSegDataset.'
            )
        self.sources = {'img_path': _choose(name, 'optical', optical, self.OPTICAL)}
        if height is None:
            kwargs['aux_bands'] = ()
        else:
            self.sources['aux_path'] = _choose(name, 'height', height, self.HEIGHT)
        if labels is not None:
            self.sources['seg_map_path'] = _choose(name, 'labels', labels, self.LABELS)
        _choose(name, 'split', split, self.splits())
        self.tiles = self._tile_names(tiles, split)
        kwargs.setdefault('img_bands', self.IMG_BANDS.get(optical, (1, 2, 3)))
        # the names say which rasters belong together; the archives' world files are not relied on
        kwargs.setdefault('check_place', False)
        super().__init__(**kwargs)

    @classmethod
    def splits(cls) -> dict[str, dict[str, tuple[str, ...]]]:
        """Give the published splits: the tiles to train on and to test on, by the split's name."""
        train = tuple(tile for tile in cls.TRAIN_TILES if tile not in cls.SSRS_TEST_TILES)
        return {
            'paper': {'train': cls.TRAIN_TILES, 'test': cls.TEST_TILES},
            'ssrs': {'train': train, 'test': cls.SSRS_TEST_TILES},
        }

    @property
    def split_name(self) -> str:
        """Says of which published split the tiles are, all of them and no other, for tables."""
        for name, split in self.splits().items():
            for part, tiles in split.items():
                if set(tiles) == set(self.tiles):
                    return f'split={name!r}: its {len(tiles)} {part} tiles'
        return f'no published split, tiles: {len(self.tiles)}'

    def get_data_info(self, idx: int | WindowIndex) -> dict:
        """See :meth:`MultimodalSegDataset.get_data_info`; the pipeline is told ``split``, too."""
        return {**super().get_data_info(idx), 'split': self.split_name}

    def find_tiles(self) -> list[dict[str, Any]]:
        """Find each tile's files in the archive's folders.

        Raises:
            FileNotFoundError: If any is missing.
        """
        root = Path(self.data_root or '.')
        tiles, missing = [], []
        for tile in self.tiles:
            row, _, col = tile.partition('_')
            files = {}
            for key, source in self.sources.items():
                name = source.name.format(tile=tile, row=row, col=col)
                places = [root / folder for folder in source.folders]
                places += [folder / folder.name for folder in places]
                found = next((str(p / name) for p in places if (p / name).is_file()), None)
                if found is not None:
                    files[key] = found
                elif key != 'aux_path' or self.missing_aux == 'error':
                    missing.append(name)
            tiles.append(files)
        if missing:
            folders = ', '.join(f for source in self.sources.values() for f in source.folders)
            raise FileNotFoundError(
                f'{len(missing)} of the {len(self.sources) * len(tiles)} rasters of {len(tiles)} '
                f'tiles are missing under {root}: {shown(missing)} (looked in {folders}). Unpack '
                'the archive there, correct data_root, or leave the tiles out of the split.'
            )
        return tiles

    def _tile_names(self, tiles: str | Sequence[str], split: str) -> tuple[str, ...]:
        if isinstance(tiles, str):
            return _choose(type(self).__name__, 'tiles', tiles, self.splits()[split])
        # --cfg-options reads 2_10 as Python does, which is the number 210
        names = {name.replace('_', ''): name for name in (*self.TRAIN_TILES, *self.TEST_TILES)}
        tiles = tuple(names.get(str(tile), str(tile)) for tile in tiles)
        unknown = sorted(set(tiles) - set(names.values()))
        if unknown:
            raise ValueError(
                f'{type(self).__name__} got tiles that the archive does not have: {unknown}; '
                f"give 'train', 'test', or names such as {self.TRAIN_TILES[:2]}."
            )
        refuse_twice(tiles, 'tiles')
        return tiles


def _choose(owner: str, argument: str, choice: str, choices: dict[str, Any]) -> Any:
    if choice not in choices:
        raise ValueError(f'{owner} got {argument}={choice!r}: give one of {list(choices)}.')
    return choices[choice]


@DATASETS.register_module()
class ISPRSPotsdamDataset(ISPRSArchiveDataset):
    """ISPRS Potsdam: 38 tiles of 6000 x 6000 pixels of 5 cm, with DSM.

    The training tile 7_10 is known for wrong annotations. A normalised DSM is an 8-bit JPEG,
    which can only be read from its beginning: a window costs as much as half a tile.

    Args:
        tiles: ``'train'`` or ``'test'`` for those of the split, or names such as ``'2_10'``.
        optical: ``'rgb'``, ``'irrg'``, or ``'rgbir'`` with four bands.
        height: ``'dsm'``, metres; ``'ndsm'``, height above ground, 0..255; or None for the optical
            image alone.
        labels: ``'eroded'`` ignores the 3 pixels around each boundary, ``'full'`` does not; None
            reads no labels, which ``test_mode`` allows.
        split: ``'paper'``, 24 tiles to train and 14 to test on, or ``'ssrs'``, 18 and 6.
    """

    TRAIN_TILES = (
        *('2_10', '2_11', '2_12', '3_10', '3_11', '3_12', '4_10', '4_11', '4_12'),
        *('5_10', '5_11', '5_12', '6_7', '6_8', '6_9', '6_10', '6_11', '6_12'),
        *('7_7', '7_8', '7_9', '7_10', '7_11', '7_12'),
    )
    TEST_TILES = (
        *('2_13', '2_14', '3_13', '3_14', '4_13', '4_14', '4_15', '5_13', '5_14', '5_15'),
        *('6_13', '6_14', '6_15', '7_13'),
    )
    SSRS_TEST_TILES = ('2_11', '3_10', '4_10', '5_11', '6_11', '7_12')
    OPTICAL: ClassVar = {
        'rgb': Source('top_potsdam_{tile}_RGB.tif', ('2_Ortho_RGB',)),
        'irrg': Source('top_potsdam_{tile}_IRRG.tif', ('3_Ortho_IRRG',)),
        'rgbir': Source('top_potsdam_{tile}_RGBIR.tif', ('4_Ortho_RGBIR',)),
    }
    HEIGHT: ClassVar = {
        'dsm': Source('dsm_potsdam_{row:0>2}_{col:0>2}.tif', ('1_DSM',)),
        'ndsm': Source(
            'dsm_potsdam_{row:0>2}_{col:0>2}_normalized_lastools.jpg', ('1_DSM_normalisation',)
        ),
    }
    LABELS: ClassVar = {
        'eroded': Source(
            'top_potsdam_{tile}_label_noBoundary.tif',
            ('5_Labels_all_noBoundary', '5_Labels_for_participants_no_Boundary'),
        ),
        'full': Source(
            'top_potsdam_{tile}_label.tif', ('5_Labels_all', '5_Labels_for_participants')
        ),
    }
    IMG_BANDS: ClassVar = {'rgbir': (1, 2, 3, 4)}


_VAIHINGEN = 'ISPRS_semantic_labeling_Vaihingen'


@DATASETS.register_module()
class ISPRSVaihingenDataset(ISPRSArchiveDataset):
    """ISPRS Vaihingen: 33 tiles of about 2500 x 2000 pixels of 9 cm, infrared-red-green, with DSM.

    Args:
        tiles: ``'train'`` or ``'test'`` for those of the split, or names such as ``'1'``.
        optical: ``'irrg'``, the only optical raster of the archive.
        height: ``'dsm'``, metres, or None for the optical image alone.
        labels: ``'eroded'`` ignores the 3 pixels around each boundary, ``'full'`` does not; None
            reads no labels, which ``test_mode`` allows.
        split: ``'paper'``, 16 tiles to train and 17 to test on, or ``'ssrs'``, 12 and 4.
    """

    TRAIN_TILES = tuple(map(str, (1, 3, 5, 7, 11, 13, 15, 17, 21, 23, 26, 28, 30, 32, 34, 37)))
    TEST_TILES = tuple(map(str, (2, 4, 6, 8, 10, 12, 14, 16, 20, 22, 24, 27, 29, 31, 33, 35, 38)))
    SSRS_TEST_TILES = ('5', '15', '21', '30')
    OPTICAL: ClassVar = {
        'irrg': Source('top_mosaic_09cm_area{tile}.tif', ('top', f'{_VAIHINGEN}/top'))
    }
    HEIGHT: ClassVar = {
        'dsm': Source('dsm_09cm_matching_area{tile}.tif', ('dsm', f'{_VAIHINGEN}/dsm'))
    }
    LABELS: ClassVar = {
        'eroded': Source(
            'top_mosaic_09cm_area{tile}_noBoundary.tif',
            (
                f'{_VAIHINGEN}_ground_truth_eroded_COMPLETE',
                f'{_VAIHINGEN}_ground_truth_eroded_for_participants',
                # so spelt in the archive
                'ISPRS_semantic_labeing_Vaihingen_ground_truth_eroded_for_participants',
                'gts_eroded_for_participants',
            ),
        ),
        'full': Source(
            'top_mosaic_09cm_area{tile}.tif',
            (
                f'{_VAIHINGEN}_ground_truth_COMPLETE',
                'gts_for_participants',
                f'{_VAIHINGEN}/gts_for_participants',
            ),
        ),
    }

    def __init__(
        self,
        tiles: str | Sequence[str] = 'train',
        optical: str = 'irrg',
        height: str | None = 'dsm',
        labels: str | None = 'eroded',
        split: str = 'paper',
        **kwargs: Any,
    ) -> None:
        super().__init__(tiles, optical, height, labels, split, **kwargs)
