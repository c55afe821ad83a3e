"""FLAIR, aerial patches of France (IGN), read as they are unpacked.

https://ignf.github.io/FLAIR/FLAIR1/flair_1.html, https://huggingface.co/datasets/IGNF/FLAIR
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmseg.registry import DATASETS

from mobanet_mmseg.datasets.multimodal import MultimodalSegDataset, refuse_twice, shown

DOMAIN = re.compile(r'D\d{3}_\d{4}')  # a département and a year: D041_2021
PATCH = re.compile(r'(IMG|MSK)_(\d+)\.tif')
RARE_VALUES = range(13, 20)  # swimming pool, snow, clear cut, mixed, ligneous, greenhouse, other

Patch = tuple[str, str]  # domain, number


@DATASETS.register_module()
class FLAIRDataset(MultimodalSegDataset):
    """FLAIR #1 and #2: patches of 512 x 512 pixels of 20 cm, R G B NIR and height in one file.

    ``IMG_<number>.tif`` and ``MSK_<number>.tif`` are found anywhere under ``data_root``, below a
    folder named as their domain, such as ``D041_2021``; so the downloads of the challenges, whose
    images and masks are apart, and those by domain are read alike. A mask's values 1 to 12 are the
    first twelve classes, 13 to 19 the last, ``'other'``, as in IGN's baselines. The first twelve as
    ``classes`` of ``metainfo`` leave 'other' out of training and metrics.

    The fifth band is the height above ground in steps of 20 cm, which ``aux_range`` (0, 255) scales
    so that 1 is 51 m.

    Args:
        domains: ``'train'``, ``'val'`` or ``'test'`` (that of FLAIR #1) for the official split, or
            names such as ``['D041_2021']``. The tests of FLAIR #1 and #2 share domains: each needs
            a ``data_root`` of its own.
        labels: Whether masks are read; without them ``test_mode`` is needed.
        img_bands: Bands of the optical channels, of R G B NIR.
        aux_bands: Bands of the auxiliary channels; 5 is the height; ``()`` for the optical image
            alone.
        aux_range: See ``MultimodalSegDataset``.

    Raises:
        FileNotFoundError: If a domain or a mask is missing.
        ValueError: If a patch is there twice, or an argument does not fit.
    """

    METAINFO: ClassVar[dict] = {
        'classes': (
            *('building', 'pervious_surface', 'impervious_surface', 'bare_soil', 'water'),
            *('coniferous', 'deciduous', 'brushwood', 'vineyard', 'herbaceous_vegetation'),
            *('agricultural_land', 'plowed_land', 'other'),
        ),
        'palette': [
            *([219, 14, 154], [147, 142, 123], [248, 12, 0], [169, 113, 1], [21, 83, 174]),
            *([25, 74, 38], [70, 228, 131], [243, 166, 13], [102, 0, 130], [85, 255, 0]),
            *([255, 243, 13], [228, 223, 124], [0, 0, 0]),
        ],
    }
    # https://github.com/IGNF/FLAIR-1, csv_full: flair-1-paths-val.csv, -test.csv; train is the rest
    SPLITS: ClassVar[dict[str, tuple[str, ...]]] = {
        'train': (
            *('D006_2020', 'D007_2020', 'D008_2019', 'D009_2019', 'D013_2020', 'D016_2020'),
            *('D017_2018', 'D021_2020', 'D023_2020', 'D030_2021', 'D032_2019', 'D033_2021'),
            *('D034_2021', 'D035_2020', 'D038_2021', 'D041_2021', 'D044_2020', 'D046_2019'),
            *('D049_2020', 'D051_2019', 'D052_2019', 'D055_2018', 'D060_2021', 'D063_2019'),
            *('D072_2019', 'D074_2020', 'D077_2021', 'D078_2021', 'D080_2021', 'D081_2020'),
            *('D086_2020', 'D091_2021'),
        ),
        'val': (
            *('D004_2021', 'D014_2020', 'D029_2021', 'D031_2019', 'D058_2020', 'D066_2021'),
            *('D067_2021', 'D070_2020'),
        ),
        'test': (
            *('D012_2019', 'D022_2021', 'D026_2020', 'D064_2021', 'D068_2021', 'D071_2020'),
            *('D075_2021', 'D076_2019', 'D083_2020', 'D085_2019'),
        ),
    }

    def __init__(
        self,
        domains: str | Sequence[str] = 'train',
        labels: bool = True,
        img_bands: Sequence[int] = (1, 2, 3),
        aux_bands: Sequence[int] = (5,),
        aux_range: Any = (0.0, 255.0),
        **kwargs: Any,
    ) -> None:
        unused = {
            *('ann_file', 'data_prefix', 'img_suffix', 'aux_suffix', 'seg_map_suffix'),
            'label_values',
        }
        if unused & kwargs.keys():
            raise ValueError(
                f'{type(self).__name__} got {sorted(unused & kwargs.keys())}, but finds the '
                'patches and knows their values by itself: give data_root and domains, or use '
                'MultimodalSegDataset.'
            )
        if isinstance(domains, str) and domains not in self.SPLITS:
            raise ValueError(
                f'{type(self).__name__} got domains={domains!r}: give one of '
                f"{list(self.SPLITS)}, or a list of names such as ['D041_2021']."
            )
        self.domains = self.SPLITS[domains] if isinstance(domains, str) else tuple(domains)
        refuse_twice(self.domains, 'domains')
        self.labels = labels
        super().__init__(img_bands=img_bands, aux_bands=aux_bands, aux_range=aux_range, **kwargs)

    def find_tiles(self) -> list[dict[str, Any]]:
        """Find each patch's file, optical and auxiliary raster in one, and its mask.

        Raises:
            FileNotFoundError: If a domain or a mask is missing.
            ValueError: If a patch is there twice.
        """
        root = Path(self.data_root or '.')
        if not root.is_dir():
            raise FileNotFoundError(
                f'The folder {root} does not exist: unpack FLAIR there, or correct data_root.'
            )
        files = self._walk(root)
        present = {domain for domain, _ in files['IMG']}
        absent = [domain for domain in self.domains if domain not in present]
        if absent:
            raise FileNotFoundError(
                f'{len(absent)} of {len(self.domains)} domains have no IMG_*.tif under {root}: '
                f'{shown(absent)}; unpack each into a folder of its name, or give domains=[...] '
                'of those that are there.'
            )
        if self.labels:
            without = [path for patch, path in files['IMG'].items() if patch not in files['MSK']]
            if without:
                raise FileNotFoundError(
                    f'{len(without)} of {len(files["IMG"])} patches under {root} have no MSK_*.tif '
                    f'of their number and domain: {shown(without)}; unpack the labels there, too.'
                )
        tiles = []
        for patch, path in sorted(files['IMG'].items()):
            tile = {'img_path': path}
            if self.aux_bands:
                tile['aux_path'] = path
            if self.labels:
                tile['seg_map_path'] = files['MSK'][patch]
            tiles.append(tile)
        return tiles

    def make_label_lookup(self) -> dict[int | tuple[int, ...], int]:
        """Say which class index a mask's value means.

        Raises:
            ValueError: If there are no classes.
        """
        self.label_values = range(1, len(self.METAINFO['classes']) + 1)
        lookup = super().make_label_lookup()
        other = lookup[self.label_values[-1]]
        return lookup | dict.fromkeys(RARE_VALUES, other)

    def _walk(self, root: Path) -> dict[str, dict[Patch, str]]:
        """Find the images and masks of the domains, by domain and number."""
        files: dict[str, dict[Patch, str]] = {'IMG': {}, 'MSK': {}}
        for folder, _, names in os.walk(root, followlinks=True):
            domains = DOMAIN.findall(folder)
            if not domains or domains[-1] not in self.domains:
                continue
            for name in names:
                match = PATCH.fullmatch(name)
                if match is None:
                    continue
                kind, number = match.groups()
                path = str(Path(folder) / name)
                known = files[kind].setdefault((domains[-1], number), path)
                if known != path:
                    raise ValueError(
                        f'{path} is there a second time as {known}: keep one of them under {root}.'
                    )
        return files
