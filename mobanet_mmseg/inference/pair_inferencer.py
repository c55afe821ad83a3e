"""What all trained models share that predict pairs of images: arrays, files and open rasters."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
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
    WindowNetwork,
    choose_batch_size,
    plan_raster,
    predict_rows,
)
from mobanet_mmseg.inference.reading import Image, PairReader, open_images, spec_for
from mobanet_mmseg.modalities import AuxRange, StackSpec
from mobanet_mmseg.tiling.windows import Strip, Tiling, Window


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


class PairInferencer(ABC):
    """A trained network that predicts pairs of images, window by window.

    Args:
        network: What runs.
        spec: How it reads rasters.
        classes: What it tells apart.
        tiling: How it slides; :meth:`choose_batch` changes it.
        needs_aux: Whether there has to be an auxiliary image.
        temperature: Divides the logits before they become probabilities.
        files: What it was made of, which no map may replace.
    """

    def __init__(
        self,
        network: WindowNetwork,
        spec: StackSpec,
        classes: Classes,
        tiling: Tiling,
        *,
        needs_aux: bool,
        temperature: float = 1.0,
        files: Sequence[str | Path | None] = (),
    ) -> None:
        self.network = network
        self.spec = spec
        self.classes = classes
        self.tiling = tiling
        self.temperature = temperature
        self.files = list(files)
        self._needs_aux = needs_aux

    @property
    @abstractmethod
    def aux_kind(self) -> str:
        """What the auxiliary image holds, as pictures show it."""

    @abstractmethod
    def open_truth(
        self, img_path: str | Path, label_path: str | Path
    ) -> Callable[[Window | None], np.ndarray]:
        """Find out how the labels of an optical raster are read.

        Args:
            img_path: Optical raster.
            label_path: Its labels.

        Returns:
            See :func:`mobanet_mmseg.inference.trained.open_truth`.

        Raises:
            ValueError: If the model does not know.
        """

    def choose_batch(self, batch_size: int | Literal['auto'] | None) -> None:
        """Set how many windows run at once.

        Args:
            batch_size: A number, ``'auto'`` to try which is fastest, or None for what it is.
        """
        if batch_size == 'auto':
            shape = self.spec.num_channels, self.tiling.window
            batch_size = choose_batch_size(self.network, *shape, self.network.device)
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
        return plan_raster(self.network, source, self.tiling)

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
        wanted['temperature'] = self.temperature
        return predict_rows(self.network, source, strips, self.tiling, **wanted)

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
    test_cfg: Mapping[str, Any],
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    blend: str | None = None,
) -> Tiling:
    """Say how a segmentor is to slide: as its ``test_cfg`` does, unless told otherwise.

    Args:
        test_cfg: The segmentor's.
        window: Window height and width, pixels, or one number for both; None is the config's.
        stride: Step down and step right, likewise.
        blend: ``'none'`` or a weight of a window's pixels; None is the config's.

    Raises:
        ValueError: If the ``test_cfg`` has no windows and none is given.
    """
    window, stride = ((s, s) if isinstance(s, int) else s for s in (window, stride))
    if test_cfg.get('mode') != 'slide' and window is None:
        raise ValueError(
            "The model's test_cfg has mode='whole' and no window to slide over a raster: give one "
            'of the size of the crops that it was trained on (--window 512).'
        )
    window = window or test_cfg['crop_size']
    if stride is None:  # the config's may be longer than a window that is given
        stride = test_cfg.get('stride') or [-(-side // 2) for side in window]
        stride = [min(step, side) for step, side in zip(stride, window, strict=True)]
    tiling = Tiling.of({**test_cfg, 'crop_size': window, 'stride': stride})
    if blend is None:
        return tiling
    return replace(tiling, blend=None if blend == 'none' else blend)
