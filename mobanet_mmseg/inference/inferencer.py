"""The Python face of prediction: a trained model that takes arrays, files and open rasters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from mmengine.config import Config
from mmseg.models import EncoderDecoder
from rasterio.crs import CRS
from rasterio.transform import Affine

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.inference.maps import (
    NODATA,
    PROBABILITY_1,
    Maps,
    count_labels,
    map_paths,
    write_maps,
)
from mobanet_mmseg.inference.predict import (
    choose_batch_size,
    plan_raster,
    predict_rows,
    window_network,
)
from mobanet_mmseg.inference.reading import Image, PairReader, open_images, spec_for
from mobanet_mmseg.inference.trained import load_segmentor, missing_aux, reading_spec
from mobanet_mmseg.modalities import AuxRange, StackSpec
from mobanet_mmseg.models.data_preprocessor import select_modality
from mobanet_mmseg.models.tiled import augment
from mobanet_mmseg.tiling.windows import Strip, Tiling

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
        self.model = load_segmentor(config, checkpoint, device, cfg_options)
        self.files = [self.model.cfg.filename, checkpoint]
        self.classes = Classes.of(self.model.dataset_meta)
        self.spec = reading_spec(self.model.cfg)
        self.modality = modality
        if modality != 'both':
            select_modality(self.model, modality, self.spec.modality_channels)
        needs_aux = {'both': missing_aux(self.model.cfg) == 'error', 'rgb': False, 'aux': True}
        self._needs_aux = needs_aux[modality]
        if tta is not None:
            augment(self.model, tta)
        if amp not in AMP_TYPES:
            raise ValueError(f"amp={amp!r}; it is 'bf16', 'fp16' or None.")
        self.amp = AMP_TYPES[amp]
        self.tiling = tiling_for(self.model, window, stride)
        if blend is not None:
            self.tiling = replace(self.tiling, blend=None if blend == 'none' else blend)
        if batch_size == 'auto':
            network = window_network(self.model, self.amp)
            device = next(self.model.parameters()).device
            batch_size = choose_batch_size(
                network, self.spec.num_channels, self.tiling.window, device
            )
        if batch_size is not None:
            self.tiling = replace(self.tiling, batch_size=batch_size)

    def __call__(
        self,
        rgb: Image,
        aux: Image | None = None,
        *,
        aux_range: Any = 'config',
        probabilities: bool = False,
        confidence: bool = False,
    ) -> Prediction:
        """Predict one pair of images into arrays.

        Args:
            rgb: Optical image: an array (H, W, C) of the model's channels, a file or an open raster
                (of which the config's bands are read).
            aux: Auxiliary image, likewise; an array may be (H, W). A file on another grid than
                that of an optical file is warped onto it. None only with ``modality='rgb'``, or
                where ``missing_aux`` of the test dataset is ``'zeros'``: as it is in training.
            aux_range: Values of the auxiliary image that become 0 and 1: ``'config'`` as in the
                training, ``'tile'``, ``('percentile', 1, 99)``, (low, high) or None.
            probabilities: Whether to give them.
            confidence: Whether to give it.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the images do not fit each other or the model.
        """
        self.check_aux(aux)
        with open_images(rgb, aux, self._reading(aux_range)) as source:
            wanted = {'probabilities': probabilities, 'confidence': confidence}
            rows = self.predict_rows(source, self.plan(source), **wanted)
            labels, shares, certainty = _assemble(rows, (source.info.height, source.info.width))
        return Prediction(
            labels=labels,
            classes=self.classes.names,
            palette=[list(colour) for colour in self.classes.palette],
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
        aux_range: Any = 'config',
        probabilities: bool = False,
        confidence: bool = False,
        cog: bool = False,
    ) -> np.ndarray:
        """Predict a pair of files of any size into GeoTIFFs on the optical one's grid.

        Only the strip in work is held in memory.

        Args:
            rgb: Optical raster.
            aux: Auxiliary raster; on another grid, it is warped. None as for a call.
            out: Label map to write; tried before anything is predicted.
            aux_range: As for a call.
            probabilities: Whether to write them, into ``*_probabilities.tif`` beside the labels.
            confidence: Whether to write it, into ``*_confidence.tif``.
            cog: Whether the files are Cloud Optimized GeoTIFFs, with overviews.

        Returns:
            (256,) number of pixels of each label; the last is nodata's.

        Raises:
            FileNotFoundError: If a raster is missing.
            OSError: If a file cannot be written.
            ValueError: If the rasters do not fit each other or the model.
        """
        wanted = {'probabilities': probabilities, 'confidence': confidence, 'cog': cog}
        paths = map_paths(out, (rgb, aux, *self.files), **wanted)
        with self.open_pair(rgb, aux, aux_range) as source:
            rows = self.predict_rows(source, self.plan(source), **paths.wanted)
            return count_labels(write_maps(rows, paths, source.info, self.classes))

    def open_pair(
        self,
        rgb: str | Path,
        aux: str | Path | None,
        aux_range: Any = 'config',
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
        self.check_aux(aux)
        return PairReader(rgb, aux, spec_for(self._reading(aux_range), rgb, aux))

    def plan(self, source: PairReader) -> list[Strip]:
        """Cover a pair with strips of windows.

        Args:
            source: An open pair.
        """
        return plan_raster(self.model, source, self.tiling)

    def predict_rows(
        self,
        source: PairReader,
        strips: Sequence[Strip],
        *,
        probabilities: bool = False,
        confidence: bool = False,
    ) -> Iterator[Maps]:
        """Predict strips one after the other.

        Args:
            source: An open pair.
            strips: Its strips, or a share of them.
            probabilities: Whether to give them.
            confidence: Whether to give it.

        Yields:
            The maps of the next rows.
        """
        wanted = {'probabilities': probabilities, 'confidence': confidence}
        settings = {'amp': self.amp, 'temperature': self.model.temperature}
        return predict_rows(self.model, source, strips, self.tiling, **settings, **wanted)

    def check_aux(self, aux: Image | None, rgb: str = '') -> None:
        """Refuse an auxiliary image that the model does not see, or the lack of one that it does.

        Args:
            aux: What would be given to a call.
            rgb: Name of the optical image, for the sentence.

        Raises:
            ValueError: If it is too much or missing.
        """
        if not self.spec.aux_bands:
            if aux is not None:
                raise ValueError(
                    'The model sees the optical image alone (aux_bands=()): leave the auxiliary '
                    'one (--aux) out.'
                )
        elif aux is None and self._needs_aux:
            raise ValueError(
                f'There is no auxiliary image (--aux){rgb and f" of {rgb}"}: give one, or predict '
                "without, by modality='rgb' (--modality rgb), or train with missing_aux='zeros'."
            )

    def _reading(self, aux_range: Any) -> StackSpec:
        if isinstance(aux_range, str) and aux_range == 'config':
            return self.spec
        optional = self.spec.aux_range.optional
        return replace(self.spec, aux_range=AuxRange.parse(aux_range, optional=optional))


def _assemble(
    rows: Iterator[Maps], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Put the maps of all rows together."""
    wholes = None
    for window, *parts in rows:
        if wholes is None:
            wholes = tuple(
                None if part is None else np.empty((*part.shape[:-2], *shape), np.uint8)
                for part in parts
            )
        for whole, part in zip(wholes, parts, strict=True):
            if whole is not None:
                whole[..., window.rows, window.cols] = part
    return wholes


def _to_floats(values: np.ndarray) -> np.ndarray:
    """Bytes to probabilities."""
    floats = values.astype(np.float32) / PROBABILITY_1
    floats[values == NODATA] = np.nan
    return floats


def tiling_for(
    model: EncoderDecoder,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
) -> Tiling:
    """Say how a segmentor is to slide: as its ``test_cfg`` does, unless told otherwise.

    Args:
        model: A segmentor.
        window: Window height and width, pixels, or one number for both; None is the config's.
        stride: Step down and step right, likewise.

    Raises:
        ValueError: If the ``test_cfg`` has no windows and none is given.
    """
    window, stride = ((s, s) if isinstance(s, int) else s for s in (window, stride))
    test_cfg = model.test_cfg
    if test_cfg.get('mode') != 'slide' and window is None:
        raise ValueError(
            "The model's test_cfg has mode='whole' and no window to slide over a raster: give one "
            'of the size of the crops that it was trained on (--window 512).'
        )
    window = window or test_cfg['crop_size']
    if stride is None:  # the config's may be longer than a window that is given
        stride = test_cfg.get('stride') or [-(-side // 2) for side in window]
        stride = [min(step, side) for step, side in zip(stride, window, strict=True)]
    return Tiling.of({**test_cfg, 'crop_size': window, 'stride': stride})
