"""Images that are in memory, read row by row as rasters are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from mobanet_mmseg.datasets.raster_files import RasterInfo
from mobanet_mmseg.datasets.rasters import AuxRange
from mobanet_mmseg.datasets.statistics import Percentiles, is_percentile
from mobanet_mmseg.modalities import scale_aux, stack_modalities


class ArraySource:
    """A pair of arrays as a stacked sample.

    Args:
        rgb: Optical image (H, W, C1), all of whose channels the model gets, in its order.
        aux: Auxiliary image (H, W) or (H, W, C2), likewise; None for one that is 0.
        num_channels: Channels of the stacked sample.
        aux_range: As a dataset gets it: ``'tile'``, ``('percentile', 1, 99)``, (low, high) or None.
        crs: Coordinate reference system, if there is one.
        transform: From pixel to CRS coordinates.

    Raises:
        ValueError: If the arrays do not fit each other or the model, or have no range.
    """

    def __init__(
        self,
        rgb: np.ndarray,
        aux: np.ndarray | None,
        *,
        num_channels: int,
        aux_range: str | Percentiles | AuxRange | None,
        crs: CRS | None = None,
        transform: Affine | None = None,
    ) -> None:
        if rgb.ndim != 3 or (aux is not None and aux.ndim not in (2, 3)):
            found = rgb.shape if aux is None else f'{rgb.shape} and {aux.shape}'
            raise ValueError(
                f'The arrays are of shape {found}: give an optical one of (H, W, C) and an '
                'auxiliary one of (H, W) or (H, W, C).'
            )
        height, width, channels = rgb.shape
        if aux is None:
            scaled = np.zeros((height, width, num_channels - channels), np.float32)
        else:
            scaled = _scale(np.atleast_3d(aux), aux_range)
        found = channels + scaled.shape[-1]
        if found != num_channels:
            raise ValueError(
                f'The arrays have {channels} and {scaled.shape[-1]} channels, the model takes '
                f'{num_channels} together: give those that it was trained on, in their order.'
            )
        self.info = RasterInfo(
            path='the optical array',
            height=height,
            width=width,
            count=channels,
            dtype=str(rgb.dtype),
            crs=crs,
            transform=transform or Affine.identity(),
            nodata=(None,) * channels,
        )
        self.num_channels = num_channels
        self._pixels = stack_modalities(rgb, scaled)
        self._valid = np.isfinite(rgb).any(axis=-1)

    def read_rows(
        self, first: int, last: int, columns: tuple[int, int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give some rows.

        Args:
            first: Number of the first row.
            last: Number of the row after the last.
            columns: Number of the first column, and of the one after the last; None is all.

        Returns:
            (C, n, W) float32 and (n, W) bool, where an optical channel holds a finite number.
        """
        there = slice(first, last), slice(*columns or (None,))
        rows = np.ascontiguousarray(self._pixels[there].transpose(2, 0, 1))
        return rows, self._valid[there]


def read_dataset(dataset: DatasetReader, bands: Sequence[int]) -> np.ndarray:
    """Read an open raster whole.

    Args:
        dataset: The raster.
        bands: Numbers of the bands, counted from 1.

    Returns:
        (H, W, C) float32, NaN where there is no data.
    """
    values = dataset.read(list(bands), masked=True).astype(np.float32)
    return np.moveaxis(values.filled(np.nan), 0, -1)


@contextmanager
def as_dataset(image: str | Path | DatasetReader | WarpedVRT) -> Iterator[DatasetReader]:
    """Open a raster, or use one that is open and leave it so.

    Args:
        image: Path of a raster, or an open one.
    """
    if isinstance(image, str | Path):
        with rasterio.open(image) as dataset:
            yield dataset
    else:
        yield image


def path_of(dataset: DatasetReader | WarpedVRT) -> Path | None:
    """The file of an open raster; None if it has none of its own (in memory, warped).

    Args:
        dataset: The raster.
    """
    path = Path(dataset.name)
    return path if type(dataset) is DatasetReader and path.is_file() else None


def _scale(aux: np.ndarray, aux_range: str | Percentiles | AuxRange | None) -> np.ndarray:
    """Scale an auxiliary array (H, W, C) as a dataset scales a raster."""
    if aux_range is None:
        return aux.astype(np.float32)
    if aux_range != 'tile' and not is_percentile(aux_range):
        return scale_aux(aux, *aux_range)
    percentages = (0, 100) if aux_range == 'tile' else aux_range[1:]
    method = 'inverted_cdf'  # a value of the array, as for rasters
    limits = []
    for channel in range(aux.shape[-1]):
        values = aux[..., channel]
        values = values[np.isfinite(values)]
        if values.size == 0 or values.min() == values.max():
            raise ValueError(
                f'Channel {channel} of the auxiliary array holds no two different numbers and '
                'cannot be scaled to 0..1: give the right array, or an aux_range of (low, high).'
            )
        limits.append(np.percentile(values, percentages, method=method))
    low, high = zip(*limits, strict=True)
    return scale_aux(aux, low, high, clip=aux_range != 'tile')
