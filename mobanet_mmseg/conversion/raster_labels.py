"""Labels from a raster on any grid: values, or colours."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT

from mobanet_mmseg.conversion.legends import Legend, refuse_unknown
from mobanet_mmseg.conversion.splitting import PixelWindow
from mobanet_mmseg.datasets.loading import UNKNOWN, classes_of
from mobanet_mmseg.datasets.multimodal import IGNORE_INDEX
from mobanet_mmseg.rasters.warping import (
    bounds_of,
    check_crs,
    check_overlap,
    read_warped,
    warped,
)
from mobanet_mmseg.rasters.windows import RasterInfo, read_info

BANDS = {'value': 1, 'color': 3}


class RasterLabels:
    """A label raster as class indices on the optical grid, nearest neighbour.

    Args:
        path: The file.
        vrt: It, warped, with a last band that says where it is.
        legend: Which class a value or a colour means.
        nodata: The file's value that is no label.
    """

    def __init__(
        self, path: str, vrt: WarpedVRT, legend: Legend, nodata: float | None = None
    ) -> None:
        self.path = path
        self.vrt = vrt
        self.legend = legend
        self.count = BANDS[legend.kind]
        # black with a nodata of 0 is no label, but the 0 within blue is no nodata
        key = nodata if self.count == 1 or nodata is None else (int(nodata),) * self.count
        self.lookup = {} if nodata is None else {key: IGNORE_INDEX}
        self.lookup |= legend.lookup

    def read(self, window: PixelWindow) -> np.ndarray:
        """Read (h, w) uint8 class indices, 255 where there is no label.

        Args:
            window: (row, col, height, width) of the optical grid, pixels.
        """
        labels, _ = self._read(window)
        labels[labels == UNKNOWN] = IGNORE_INDEX
        return labels

    def refuse_unknown(self, windows: Iterator[PixelWindow]) -> None:
        """Refuse values or colours that no class names.

        Args:
            windows: Windows of the optical grid that are to be read.

        Raises:
            ValueError: If there are any; they are listed with their numbers of pixels.
        """
        unknown: Counter = Counter()
        for window in windows:
            if self.legend.ignores_others:
                continue
            labels, pixels = self._read(window)
            offending = pixels[labels == UNKNOWN]
            if len(offending):
                keys, counts = np.unique(offending, axis=0, return_counts=True)
                for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
                    unknown[','.join(f'{part:g}' for part in key)] += count
        refuse_unknown(self.path, unknown, 'pixels')

    def _read(self, window: PixelWindow) -> tuple[np.ndarray, np.ndarray]:
        """Class indices, ``UNKNOWN`` where there is none, and the pixels they come from."""
        bands = read_warped(self.vrt, range(1, self.count + 2), window)
        pixels, inside = np.moveaxis(bands[:-1], 0, -1), bands[-1] != 0
        labels = classes_of(pixels, self.lookup)
        labels[~inside] = IGNORE_INDEX
        return labels, pixels


@contextmanager
def open_raster_labels(path: str, legend: Legend, grid: RasterInfo) -> Iterator[RasterLabels]:
    """Open a label raster.

    Args:
        path: The file.
        legend: Which class a value or a colour means.
        grid: Header of the optical raster.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no label raster of the legend's kind, or lies elsewhere.
    """
    info = read_info(path)
    expected = BANDS[legend.kind]
    if info.count != expected:
        other = next((kind for kind, count in BANDS.items() if count == info.count), None)
        advice = {'value': 'give --classes NAME=VALUE', 'color': 'give --colors NAME=R,G,B'}
        raise ValueError(
            f'{path} has {info.count} band(s); labels told by {legend.kind} have {expected}: '
            f'{advice.get(other, "convert it")}.'
        )
    if legend.kind == 'color' and info.dtype != 'uint8':
        raise ValueError(f'{path} is {info.dtype}; labels in colours are uint8: convert it.')
    check_crs(path, info.crs, grid)
    check_overlap(path, info.crs, bounds_of(info), grid)
    # nodata is looked up here: GDAL takes it band by band, so it would tear colours apart
    options = {'src_nodata': None, 'nodata': None, 'add_alpha': True}
    with warped(info, grid, Resampling.nearest, **options) as vrt:
        yield RasterLabels(path, vrt, legend, info.nodata[0])
