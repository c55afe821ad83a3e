"""The Python face of prediction: a trained model that takes arrays, files and open rasters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.config import Config
from rasterio.crs import CRS
from rasterio.transform import Affine

from mobanet_mmseg.inference.arrays import Image, open_images
from mobanet_mmseg.inference.maps import NODATA, PROBABILITY_1, MapPaths
from mobanet_mmseg.inference.network import (
    Maps,
    check_segmentor,
    choose_batch_size,
    tiling_for,
    window_network,
)
from mobanet_mmseg.inference.predict import (
    Advance,
    Settings,
    plan_raster,
    predict_raster,
    predict_rows,
)
from mobanet_mmseg.inference.ranks import own_device
from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.inference.together import opened_together, predict_raster_together
from mobanet_mmseg.inference.trained import load_segmentor, reading_options
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.models.tiled import augment
from mobanet_mmseg.rasters.ranges import Percentiles
from mobanet_mmseg.rasters.windows import AuxRange

Range = str | Percentiles | AuxRange | None

AMP_TYPES = {None: None, 'bf16': torch.bfloat16, 'fp16': torch.float16}


@dataclass(frozen=True)
class Prediction:
    """What a model makes of one pair of images.

    Args:
        labels: Class indices (H, W) uint8, 255 where there is no optical data.
        classes: Name of each class.
        palette: Red, green and blue of each class, 0 to 255.
        crs: Coordinate reference system of the optical image, if it has one.
        transform: From pixel to CRS coordinates.
        probabilities: (K, H, W) float32 in steps of 1/254, NaN where there is no optical data; None
            if they were not asked for.
        confidence: (H, W) float32, the probability of the label, likewise.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    palette: list[list[int]]
    crs: CRS | None
    transform: Affine
    probabilities: np.ndarray | None = None
    confidence: np.ndarray | None = None


class MultimodalInferencer:
    """A trained model that predicts pairs of images.

        inferencer = MultimodalInferencer('potsdam_dinov2_b.py', 'epoch_50.pth')
        prediction = inferencer('top_potsdam_2_13_RGB.tif', 'dsm_potsdam_02_13.tif')
        inferencer.predict_file('city.tif', 'height.tif', 'labels.tif')  # of any size

    Args:
        config: Config file, or the config itself; its test dataset says which bands are read and
            how the auxiliary image is scaled.
        checkpoint: File that the training wrote.
        device: ``cpu``, ``cuda:0`` ..., or ``auto`` for a GPU if there is one.
        modality: ``'rgb'`` or ``'aux'`` lets the model see one of the two, while the other is 0
            after normalisation (the paper's Table V).
        window: Window height and width, pixels, or one number for both; these four override the
            model's ``test_cfg``.
        stride: Step down and step right, likewise.
        batch_size: Windows at once, or ``'auto'`` to try which number is fastest.
        blend: ``'gaussian'`` or ``'cosine'`` weights within a window; ``'none'`` for none.
        tta: Average the logits over ``'flips'`` or the eight symmetries ``'d4'``.
        amp: Type of autocast, ``'bf16'`` or ``'fp16'``; None is full precision.
        cfg_options: Settings that override the config.

    Raises:
        CheckpointError: If the checkpoint is none of MMEngine's, or does not fit the config.
        FileNotFoundError: If a file is missing.
        ValueError: If the device is not there, or the model or a setting is of no use.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        *,
        device: str = 'auto',
        modality: Literal['both', 'rgb', 'aux'] = 'both',
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        batch_size: int | Literal['auto'] | None = None,
        blend: Literal['gaussian', 'cosine', 'none'] | None = None,
        tta: Literal['flips', 'd4'] | None = None,
        amp: Literal['bf16', 'fp16'] | None = None,
        cfg_options: dict[str, Any] | None = None,
    ) -> None:
        self.model = load_segmentor(config, checkpoint, own_device(device), cfg_options)
        check_segmentor(self.model)
        if modality != 'both':
            select_modality(self.model, modality)
        self.modality = modality
        self.options = reading_options(self.model.cfg)
        window, stride = (
            (side, side) if isinstance(side, int) else side for side in (window, stride)
        )
        tiling = tiling_for(self.model, window=window, stride=stride)
        if blend is not None:
            tiling = replace(tiling, blend=None if blend == 'none' else blend)
        if tta is not None:
            augment(self.model, tta)
        if amp not in AMP_TYPES:
            raise ValueError(f"amp={amp!r}; it is 'bf16', 'fp16' or None.")
        self.settings = Settings(tiling, AMP_TYPES[amp])
        if batch_size == 'auto':
            batch_size = self._fastest_batch_size()
        if batch_size is not None:
            self.settings = replace(self.settings, tiling=replace(tiling, batch_size=batch_size))

    @property
    def num_channels(self) -> int:
        """Channels of a stacked sample."""
        return len(self.options['img_bands']) + len(self.options['aux_bands'])

    def __call__(
        self,
        rgb: Image,
        aux: Image | None = None,
        *,
        aux_range: Range | Literal['config'] = 'config',
        probabilities: bool = False,
        confidence: bool = False,
    ) -> Prediction:
        """Predict one pair of images into arrays.

        Args:
            rgb: Optical image: an array (H, W, C) of the model's channels, a file or an open raster
                (of which the config's bands are read).
            aux: Auxiliary image, likewise; an array may be (H, W). A file on another grid than
                that of an optical file is warped onto it. None only with ``modality='rgb'``.
            aux_range: Values of the auxiliary image that become 0 and 1: ``'config'`` as in the
                training, ``'tile'``, ``('percentile', 1, 99)``, (low, high) or None.
            probabilities: Whether to give them.
            confidence: Whether to give it.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the images do not fit each other or the model.
        """
        wanted = {'probabilities': probabilities, 'confidence': confidence}
        self._check_aux(aux)
        with open_images(rgb, aux, **self._reading(aux_range)) as source:
            strips = plan_raster(self.model, source, self.settings)
            rows = predict_rows(self.model, source, self.settings, strips, **wanted)
            labels, shares, certainty = _assemble(rows, (source.info.height, source.info.width))
        return Prediction(
            labels=labels,
            classes=tuple(self.model.dataset_meta['classes']),
            palette=[list(colour) for colour in self.model.dataset_meta['palette']],
            crs=source.info.crs,
            transform=source.info.transform,
            probabilities=None if shares is None else _to_floats(shares),
            confidence=None if certainty is None else _to_floats(certainty),
        )

    def predict_file(
        self,
        rgb: str | Path,
        aux: str | Path | None,
        out: str | Path,
        *,
        aux_range: Range | Literal['config'] = 'config',
        probabilities: bool = False,
        confidence: bool = False,
        cog: bool = False,
        alone: bool = False,
        advance: Advance = lambda rows, total: None,
    ) -> np.ndarray:
        """Predict a pair of files of any size into GeoTIFFs on the optical one's grid.

        Only the strip in work is held in memory. The processes of a launcher
        (:func:`~mobanet_mmseg.inference.ranks.start_ranks`) share the strips: all of them make this
        call, and write to a disk that all can reach.

        Args:
            rgb: Optical raster.
            aux: Auxiliary raster; on another grid, it is warped. None only with
                ``modality='rgb'``.
            out: Label map to write; tried before anything is predicted.
            aux_range: As for a call.
            probabilities: Whether to write them, into ``*_probabilities.tif`` beside the labels.
            confidence: Whether to write it, into ``*_confidence.tif``.
            cog: Whether the files are Cloud Optimized GeoTIFFs, with overviews.
            alone: Whether this process does it all, though others run beside it.
            advance: Told how many rows have been predicted since its last call, and how many there
                are.

        Returns:
            (256,) number of pixels of each label; the last is nodata's.

        Raises:
            FileNotFoundError: If a raster is missing.
            OSError: If a file cannot be written.
            ValueError: If the rasters do not fit each other or the model.
        """
        paths = map_paths(out, probabilities=probabilities, confidence=confidence, cog=cog)

        def open_pair(aux_range: Range) -> PairReader:
            inputs = [Path(path).resolve() for path in (rgb, aux) if path is not None]
            for path in (paths.labels, paths.probabilities, paths.confidence):
                if path is not None and path.resolve() in inputs:
                    raise ValueError(
                        f'{path} is an input and would be overwritten: give another name.'
                    )
            return self.open_pair(rgb, aux, aux_range)

        opened = open_pair(aux_range) if alone else opened_together(open_pair, aux_range)
        run = predict_raster if alone else predict_raster_together
        with opened as pair:
            return run(self.model, pair, paths, self.settings, advance)

    def open_pair(
        self,
        rgb: str | Path,
        aux: str | Path | None,
        aux_range: Range | Literal['config'] = 'config',
    ) -> PairReader:
        """Open a pair of files as the model reads them.

        Args:
            rgb: Optical raster.
            aux: Auxiliary raster.
            aux_range: As for a call.

        Raises:
            FileNotFoundError: If a raster is missing.
            ValueError: If the rasters do not fit each other or the model.
        """
        self._check_aux(aux)
        return PairReader(rgb, aux, **self._reading(aux_range))

    def _check_aux(self, aux: Image | None) -> None:
        if aux is None and self.modality != 'rgb':
            raise ValueError(
                "There is no auxiliary image: give one, or modality='rgb' to predict without."
            )

    def _reading(self, aux_range: Range) -> dict[str, Any]:
        if isinstance(aux_range, str) and aux_range == 'config':
            return self.options
        return {**self.options, 'aux_range': aux_range}

    def _fastest_batch_size(self) -> int:
        network = window_network(self.model, self.settings.amp)
        device = next(self.model.parameters()).device
        window = self.settings.tiling.window
        return choose_batch_size(network, self.num_channels, window, device)


def map_paths(
    out: str | Path, *, probabilities: bool = False, confidence: bool = False, cog: bool = False
) -> MapPaths:
    """Name the maps of one raster after its label map.

    Args:
        out: The label map.
        probabilities: Whether there are probabilities, in ``*_probabilities.tif``.
        confidence: Whether there is confidence, in ``*_confidence.tif``.
        cog: Whether they are Cloud Optimized GeoTIFFs.
    """
    out = Path(out)
    return MapPaths(
        labels=out,
        probabilities=out.with_name(f'{out.stem}_probabilities.tif') if probabilities else None,
        confidence=out.with_name(f'{out.stem}_confidence.tif') if confidence else None,
        cog=cog,
    )


def _assemble(
    rows: Iterator[Maps], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Put the maps of all rows together."""
    wholes = None
    for maps in rows:
        if wholes is None:
            wholes = tuple(
                None if part is None else np.empty((*part.shape[:-2], *shape), np.uint8)
                for part in maps[:3]
            )
        height, width = maps.labels.shape
        there = slice(maps.row, maps.row + height), slice(maps.column, maps.column + width)
        for whole, part in zip(wholes, maps[:3], strict=True):
            if whole is not None:
                whole[..., *there] = part
    return wholes


def _to_floats(values: np.ndarray) -> np.ndarray:
    """Bytes to probabilities."""
    floats = values.astype(np.float32) / PROBABILITY_1
    floats[values == NODATA] = np.nan
    return floats
