"""Images of any kind, those in memory too, read row by row as rasters are."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT

from mobanet_mmseg.inference.reading import PairReader
from mobanet_mmseg.modalities import scale_aux, stack_modalities
from mobanet_mmseg.rasters.files import gdal_settings, info_of, open_raster
from mobanet_mmseg.rasters.grids import find_misplacement
from mobanet_mmseg.rasters.ranges import Percentiles, aux_ranges, is_percentile
from mobanet_mmseg.rasters.windows import AuxRange, RasterInfo, check_bands, read_info

Image = np.ndarray | str | Path | DatasetReader | WarpedVRT


class ArraySource:
    """A pair of arrays as a stacked sample; of masked arrays, what is masked is no data.

    Args:
        rgb: Optical image (H, W, C1), all of whose channels the model gets, in its order.
        aux: Auxiliary image (H, W) or (H, W, C2), likewise; None for one that is 0.
        channels: Optical and auxiliary channels that the model gets, C1 and C2.
        aux_range: As a dataset gets it: ``'tile'``, ``('percentile', 1, 99)``, (low, high) or None.
        info: Grid of the optical image, if it lies on one.

    Raises:
        ValueError: If the arrays do not fit each other or the model, or have no range.
    """

    def __init__(
        self,
        rgb: np.ndarray,
        aux: np.ndarray | None,
        *,
        channels: tuple[int, int],
        aux_range: str | Percentiles | AuxRange | None,
        info: RasterInfo | None = None,
    ) -> None:
        if rgb.ndim != 3 or (aux is not None and aux.ndim not in (2, 3)):
            found = rgb.shape if aux is None else f'{rgb.shape} and {aux.shape}'
            raise ValueError(
                f'The arrays are of shape {found}: give an optical one of (H, W, C) and an '
                'auxiliary one of (H, W) or (H, W, C).'
            )
        for array in (rgb,) if aux is None else (rgb, aux):
            if array.dtype.kind not in 'biuf':
                raise ValueError(
                    f'An array holds {array.dtype} values where real numbers are expected: give '
                    'integers or floats.'
                )
        height, width, count = rgb.shape
        if aux is None:
            aux, aux_range = np.zeros((height, width, channels[1]), np.float32), None
        elif aux.ndim == 2:
            aux = aux[..., None]
        if (count, aux.shape[-1]) != channels:
            raise ValueError(
                f'The arrays have {count} and {aux.shape[-1]} channels, the model takes '
                f'{channels[0]} optical and {channels[1]} auxiliary ones: give (H, W, C) arrays of '
                'those that it was trained on, in their order.'
            )
        self.info = info or RasterInfo(
            path='the optical array',
            height=height,
            width=width,
            count=count,
            dtypes=(str(rgb.dtype),) * count,
            crs=None,
            transform=Affine.identity(),
            nodata=(None,) * count,
        )
        self.num_channels = sum(channels)
        valid = np.isfinite(np.ma.getdata(rgb)) & ~np.ma.getmaskarray(rgb)
        self._valid = valid.any(axis=-1)
        rgb = np.ma.getdata(rgb)
        if np.issubdtype(rgb.dtype, np.floating):  # integers keep their value, as from a file
            rgb = np.where(valid, rgb, 0)
        self._pixels = stack_modalities(rgb, _scale(aux, aux_range))

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


def open_images(
    rgb: Image,
    aux: Image | None,
    *,
    img_bands: Sequence[int],
    aux_bands: Sequence[int],
    aux_range: str | Percentiles | AuxRange | None,
) -> AbstractContextManager[PairReader | ArraySource]:
    """Open a pair of images of any kind; two files are read as they are predicted.

    Args:
        rgb: Optical image.
        aux: Auxiliary image; None for one that is 0.
        img_bands: Bands of an optical raster, counted from 1; as many channels has an array.
        aux_bands: Bands of an auxiliary raster, likewise.
        aux_range: As a dataset gets it.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If the images are none, or do not fit each other or the model.
    """
    for image in (rgb,) if aux is None else (rgb, aux):
        if not isinstance(image, Image):
            raise ValueError(
                f'An image is a {type(image).__name__}: give a numpy array, a path or an open '
                'rasterio dataset.'
            )
    rgb, aux = (
        path_of(image) or image if isinstance(image, DatasetReader | WarpedVRT) else image
        for image in (rgb, aux)
    )
    if isinstance(rgb, str | Path) and (aux is None or isinstance(aux, str | Path)):
        bands = {'img_bands': img_bands, 'aux_bands': aux_bands}
        return PairReader(rgb, aux, **bands, aux_range=aux_range)
    info = other = None
    if not isinstance(rgb, np.ndarray):
        rgb, info = read_image(rgb, img_bands)
    if aux is not None and not isinstance(aux, np.ndarray):
        aux, other = read_image(aux, aux_bands)
    apart = None if info is None or other is None else find_misplacement(other, info)
    if apart:
        raise ValueError(f'{apart}: give two files, of which one is warped, or one grid.')
    channels = len(img_bands), len(aux_bands)
    return nullcontext(ArraySource(rgb, aux, channels=channels, aux_range=aux_range, info=info))


def read_image(
    image: str | Path | DatasetReader | WarpedVRT, bands: Sequence[int]
) -> tuple[np.ma.MaskedArray, RasterInfo]:
    """Read a raster whole, a file or an open one, which stays open.

    Args:
        image: The raster.
        bands: Numbers of the bands, counted from 1.

    Returns:
        (H, W, C), masked where there is no data, and the raster's header.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is unreadable, or lacks a band.
    """
    if isinstance(image, str | Path):
        dataset, info = open_raster(image).dataset, read_info(image)
    else:
        dataset, info = image, info_of(image, image.name)
    check_bands(info, bands)
    try:
        with gdal_settings():
            values = dataset.read(list(bands), masked=True)
    except RasterioIOError as error:
        raise ValueError(
            f'{info.path} is damaged (GDAL says: {error.__cause__ or error}): copy or download it '
            'again.'
        ) from error
    return np.moveaxis(values, 0, -1), info


def path_of(dataset: DatasetReader | WarpedVRT) -> Path | None:
    """The file of an open raster; None if it has none that reads the same (in memory, warped).

    Args:
        dataset: The raster.
    """
    path = Path(dataset.name)
    if type(dataset) is not DatasetReader or not path.is_file():
        return None
    info = read_info(path)  # an overview of the file has another size
    return path if (info.height, info.width) == dataset.shape else None


def _scale(aux: np.ndarray, aux_range: str | Percentiles | AuxRange | None) -> np.ndarray:
    """Scale an auxiliary array (H, W, C) as a dataset scales a raster; no data becomes 0."""
    aux = aux.astype(np.result_type(aux.dtype, np.float32), copy=False)
    aux = np.where(np.ma.getmaskarray(aux), np.nan, np.ma.getdata(aux))
    if aux_range != 'tile' and not is_percentile(aux_range):
        (aux_range,) = aux_ranges(['the auxiliary array'], (), aux_range)
        return aux if aux_range is None else scale_aux(aux, *aux_range)
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
