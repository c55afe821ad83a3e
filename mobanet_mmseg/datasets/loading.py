"""Loads a tile, or one window of it, and its labels."""

import logging

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmseg.registry import TRANSFORMS

from mobanet_mmseg.classes import IGNORE_INDEX, MAX_CLASSES
from mobanet_mmseg.rasters.files import RasterInfo, read_info
from mobanet_mmseg.rasters.windows import read_mask, read_stack, read_window
from mobanet_mmseg.tiling.windows import Window


@TRANSFORMS.register_module()
class LoadMultimodalRaster(BaseTransform):
    """Load the optical and the auxiliary raster as one stacked image.

    Without ``aux_bands`` that is the optical image alone; without ``aux_path`` the auxiliary
    channels are ``aux_fill``, as they are where that raster has no data.

    Required Keys:

    - img_path
    - aux_path (optional)
    - img_bands, aux_bands (band numbers, counted from 1)
    - aux_range (a Scaling in the auxiliary raster's unit, or None)
    - aux_fill (one number, or one per auxiliary channel; optional: 0)
    - window (a Window; optional: without it, the whole tile)

    Added Keys:

    - img ((H, W, C) float32: optical channels as they are, then the scaled auxiliary ones)
    - img_shape, ori_shape ((H, W))
    """

    def transform(self, results: dict) -> dict:
        """Load ``img``.

        Raises:
            ValueError: If no dataset has said which bands are read, as where MMSegmentation's
                ``inference_model`` is given a file.
        """
        if 'img_bands' not in results:
            raise ValueError(
                f'{results["img_path"]} comes without img_bands, aux_path and aux_range, which a '
                "dataset gives and MMSegmentation's inference_model and image_demo do not: give "
                'MultimodalInferencer of mobanet_mmseg, or `mobanet predict`, the optical and the '
                'auxiliary file, or inference_model one array (H, W, C) of all channels as loaded.'
            )
        img = read_stack(
            results['img_path'],
            results.get('aux_path'),
            img_bands=results['img_bands'],
            aux_bands=results['aux_bands'],
            aux_range=results['aux_range'],
            aux_fill=results.get('aux_fill', 0.0),
            window=results.get('window'),
        )
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadRasterAnnotations(BaseTransform):
    """Load the label raster, in colours (three bands) or class indices (one band).

    A colour or value that belongs to no class is ignored; each process warns of it once per file.
    A sample without ``seg_map_path``, which is one to predict, passes unchanged.

    Required Keys:

    - height, width (of the tile, pixels)
    - seg_map_path (optional)
    - label_lookup (value or colour of a label -> class index, 255 = ignore)
    - seg_fields
    - window (a Window; optional)

    Modified Keys:

    - seg_fields

    Added Keys:

    - gt_seg_map ((H, W) uint8, 255 = ignore)
    """

    def __init__(self) -> None:
        self.warned: set[str] = set()

    def transform(self, results: dict) -> dict:
        """Load ``gt_seg_map``."""
        path = results.get('seg_map_path')
        if path is None:
            return results
        shape = (results['height'], results['width'])
        labels, pixels = read_classes(path, results['label_lookup'], results.get('window'), shape)
        unknown = labels == UNKNOWN
        if unknown.any():
            labels[unknown] = IGNORE_INDEX
            self._warn(path, pixels[unknown], unknown.mean())
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')
        return results

    def _warn(self, path: str, offending: np.ndarray, share: float) -> None:
        if path in self.warned:
            return
        self.warned.add(path)
        what = 'value' if offending.shape[-1] == 1 else 'colour'
        first = tuple(offending[0].tolist())
        print_log(
            f'{path} holds a {what} that belongs to no class, first '
            f'{first[0] if len(first) == 1 else first}, in {len(offending)} pixels ({share:.3%}) '
            'of what was read of it; they are ignored, here and in the rest of the file.',
            logger='current',
            level=logging.WARNING,
        )


UNKNOWN = MAX_CLASSES


def read_classes(
    path: str,
    lookup: dict[int | tuple[int, ...], int],
    window: Window | None,
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Read a window of a label raster.

    Args:
        path: Label raster, class values (one band) or colours (three, and perhaps alpha).
        lookup: Class index of each value and each colour.
        window: Window within ``shape``; None is all of it.
        shape: Height and width of the tile's optical raster, pixels.

    Returns:
        (h, w) uint8 class indices, ``UNKNOWN`` where the lookup has no class, ignored where the
        file's mask leaves a pixel out, and the (h, w, 1 or 3) pixels that were read.

    Raises:
        ValueError: If the raster is unreadable or of another kind.
    """
    label = read_info(path)
    bands = range(1, min(label.count, 3) + 1)
    pixels = read_window(path, bands, window, shape)
    labels = classes_of(pixels, nodata_lookup(label, len(bands)) | lookup)
    labels[~read_mask(path, bands, window, shape)] = IGNORE_INDEX
    return labels, pixels


def nodata_lookup(label: RasterInfo, count: int) -> dict[float | tuple[float | None, ...], int]:
    """Say which value or colour of a label raster is none; a class that is it goes before.

    Black with a nodata value of 0 is no label, but the 0 within blue is no nodata.

    Args:
        label: Header of the label raster.
        count: Number of its bands that make up a label, 1 or 3.
    """
    nodata = label.nodata[:count]
    if None in nodata or (count > 1 and not np.isfinite(nodata).all()):
        return {}
    return {nodata[0] if count == 1 else tuple(map(int, nodata)): IGNORE_INDEX}


def classes_of(pixels: np.ndarray, lookup: dict[int | tuple[int, ...], int]) -> np.ndarray:
    """Say which class each pixel of a label belongs to.

    Args:
        pixels: (H, W, 1) values of any type, or (H, W, 3) uint8 colours.
        lookup: Class index of each value and each colour.

    Returns:
        (H, W) uint8, ``UNKNOWN`` where the lookup has no class; NaN is ignored.

    Raises:
        ValueError: If colours are not uint8.
    """
    if pixels.shape[-1] == 1:
        codes = pixels[..., 0]
        known = {key: index for key, index in lookup.items() if not isinstance(key, tuple)}
    else:
        if pixels.dtype != np.uint8:
            raise ValueError(
                f'A label in colours is {pixels.dtype}, and uint8 is expected: convert it, or '
                'give a label of class indices.'
            )
        red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
        codes = red << 16 | green << 8 | blue
        known = {
            key[0] << 16 | key[1] << 8 | key[2]: index
            for key, index in lookup.items()
            if isinstance(key, tuple)
        }
    labels = np.full(codes.shape, UNKNOWN, np.uint8)
    for code, index in known.items():
        # turns UNKNOWN into the index where the code is met, 15 times faster than a masked copy
        labels ^= (codes == code).view(np.uint8) * np.uint8(UNKNOWN ^ index)
    if np.issubdtype(codes.dtype, np.floating):
        labels[np.isnan(codes)] = IGNORE_INDEX
    return labels
