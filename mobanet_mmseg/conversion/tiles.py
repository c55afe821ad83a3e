"""Cuts the rasters of one area into the files of its tiles."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from rasterio.windows import Window

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.conversion.legends import Legend
from mobanet_mmseg.conversion.splitting import PixelWindow, Tile
from mobanet_mmseg.datasets.multimodal import IGNORE_INDEX
from mobanet_mmseg.rasters.files import gdal_settings, open_raster
from mobanet_mmseg.rasters.geotiff import TILE, Layer, write_geotiff
from mobanet_mmseg.rasters.warping import alpha_bands, float_type
from mobanet_mmseg.rasters.windows import RasterInfo, read_window

FOLDERS = ('img', 'aux', 'label')


class Labels(Protocol):
    """What labels of any kind are to the conversion."""

    def read(self, window: PixelWindow) -> np.ndarray:
        """Give (h, w) uint8 class indices on the optical grid."""


@dataclass(frozen=True)
class RasterPair:
    """The files of one area.

    Args:
        rgb: Optical raster; the grid of all that is written.
        aux: Auxiliary raster, on any grid.
        label: Raster or polygons, on any grid; None for tiles without labels.
        legend: Which class a label means.
        attribute: Attribute of the polygons that tells the class.
        rgb_bands: Bands of the optical raster that are written; None is all but alpha, which
            says what is valid.
        aux_bands: Bands of the auxiliary raster, likewise.
    """

    rgb: str
    aux: str
    label: str | None = None
    legend: Legend | None = None
    attribute: str | None = None
    rgb_bands: Sequence[int] | None = None
    aux_bands: Sequence[int] | None = None


class Cutout(NamedTuple):
    """What was found in one tile that was written.

    Args:
        name: Stem of its files.
        pixels: Pixels of each class, then those without a label.
        no_optical: Pixels without optical data.
        no_aux: Pixels without auxiliary data.
        low: Least auxiliary value of each band, NaN where it has none.
        high: Greatest one.
    """

    name: str
    pixels: np.ndarray
    no_optical: int
    no_aux: int
    low: np.ndarray
    high: np.ndarray


@dataclass
class Cutter:
    """Writes the tiles of one area.

    Args:
        folder: Where the folders of the tiles are.
        pair: The files.
        grid: Header of the optical raster.
        aux: Header of the auxiliary raster.
        read_aux: Reads (number of bands, h, w) floating values of a window of the optical grid, NaN
            where there are none.
        labels: The labels, if there are any.
    """

    folder: Path
    pair: RasterPair
    grid: RasterInfo
    aux: RasterInfo
    read_aux: Callable[[Sequence[int], PixelWindow], np.ndarray]
    labels: Labels | None
    written: dict[Tile, Cutout] = field(default_factory=dict)
    dropped: Counter = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Choose the bands and the auxiliary tiles' nodata value."""
        self.classes = () if self.labels is None else self.pair.legend.classes
        self.rgb_bands = bands_of(self.grid, self.pair.rgb_bands)
        self.aux_bands = bands_of(self.aux, self.pair.aux_bands)
        nodata, dtype = self.aux.nodata[0], float_type(self.aux)
        with np.errstate(over='ignore'):
            exact = nodata is not None and float(dtype.type(nodata)) == nodata
        self.aux_nodata = (
            nodata if exact else np.nan
        )  # NaN where a file has none, or none that fits

    def write(self, tile: Tile) -> None:
        """Write one tile, or note why it is left out."""
        img = np.moveaxis(read_window(self.grid.path, self.rgb_bands, tile.window), -1, 0)
        valid = self._valid(img, tile.window)
        if not valid.any():
            self.dropped['no optical data'] += 1
            return
        aux = self.read_aux(self.aux_bands, tile.window)
        known = np.isfinite(aux)
        if not known.any():
            self.dropped['no auxiliary data'] += 1
            return
        pixels = np.zeros(len(self.classes) + 1, np.int64)
        name = f'{Path(self.pair.rgb).stem}_r{tile.row:03}_c{tile.col:03}'
        if self.labels is not None:
            label = self.labels.read(tile.window)
            label[~valid] = IGNORE_INDEX
            pixels[:-1] = np.bincount(label.ravel(), minlength=256)[: len(self.classes)]
            pixels[-1] = label.size - pixels.sum()
            if not pixels[:-1].any():
                self.dropped['no label'] += 1
                return
            self._save('label', name, tile, label[None], IGNORE_INDEX)
        mask = None if valid.all() or self.grid.nodata[0] is not None else valid
        self._save('img', name, tile, img, self.grid.nodata[0], mask)
        low, high = (
            ufunc.reduce(np.where(known, aux, np.nan), (1, 2)) for ufunc in (np.fmin, np.fmax)
        )
        filled = np.where(known, aux, aux.dtype.type(self.aux_nodata))
        self._save('aux', name, tile, filled, self.aux_nodata)
        no_optical, no_aux = (int((~where).sum()) for where in (valid, known.all(axis=0)))
        self.written[tile] = Cutout(name, pixels, no_optical, no_aux, low, high)

    def remove(self, tile: Tile, reason: str) -> None:
        """Take a tile away again."""
        name = self.written.pop(tile).name
        self.dropped[reason] += 1
        for folder in FOLDERS:
            (self.folder / folder / f'{name}.tif').unlink(missing_ok=True)

    def aux_range(self) -> str:
        """Say how the auxiliary tiles are scaled: each by itself, if each has a range."""
        low = np.array([cutout.low for cutout in self.written.values()])
        high = np.array([cutout.high for cutout in self.written.values()])
        if (low < high).all():
            return "'tile'"
        least, greatest = np.fmin.reduce(low), np.fmax.reduce(high)
        if not (least < greatest).all():
            raise ValueError(
                f'{self.aux.path} has one value alone in a band (least {least.tolist()}, greatest '
                f'{greatest.tolist()} on the optical raster): leave the band out by --aux-bands, '
                'or give the right file.'
            )
        return str((tuple(map(float, least)), tuple(map(float, greatest))))

    def _valid(self, img: np.ndarray, window: PixelWindow) -> np.ndarray:
        """Where any band has data, and none is NaN or infinite, (h, w) bool."""
        handle = open_raster(self.grid.path)
        valid = np.isfinite(img).all(axis=0)
        alpha = alpha_bands(self.grid)
        if not alpha & {*self.rgb_bands}:  # an alpha band that is asked for is a band like others
            row, col, height, width = window
            with gdal_settings():
                masks = handle.dataset.read_masks(
                    list(self.rgb_bands), window=Window(col, row, width, height)
                )
            valid &= masks.any(axis=0)
        return valid

    def _save(
        self,
        folder: str,
        name: str,
        tile: Tile,
        pixels: np.ndarray,
        nodata: float | None,
        mask: np.ndarray | None = None,
    ) -> None:
        path = self.folder / folder / f'{name}.tif'
        bands, dtype = ('',) * len(pixels), str(pixels.dtype)
        classes = Classes(self.classes, self.pair.legend.palette) if folder == 'label' else None
        layer = Layer(path, bands, dtype, nodata, classes, layout=TILE)
        write_geotiff(layer, self.grid.crop(tile.window), pixels, mask)


def bands_of(info: RasterInfo, asked: Sequence[int] | None) -> tuple[int, ...]:
    """Name the bands of a raster that are written.

    Args:
        info: Header of the raster.
        asked: Those that are asked for; None is all but alpha.
    """
    if asked is not None:
        return tuple(asked)
    return tuple(sorted({*range(1, info.count + 1)} - alpha_bands(info)))
