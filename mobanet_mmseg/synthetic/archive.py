"""Writing synthetic tiles in the layout, names and quirks of the ISPRS Potsdam archive."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.transform import Affine, from_origin
from rich.progress import track

from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset, Source
from mobanet_mmseg.folders import kept_folder
from mobanet_mmseg.synthetic.tile import SyntheticTile, make_tile, parse_name
from mobanet_mmseg.writing import whole_file, write_text

TOOL = 'make_synthetic_isprs.py'
# Which of a tile's bands R G B IR each orthophoto holds.
BANDS = {'rgb': (0, 1, 2), 'irrg': (3, 0, 1), 'rgbir': (0, 1, 2, 3)}


def write_archive(
    out: str | Path,
    names: Sequence[str],
    *,
    size: int = 6000,
    seed: int = 0,
    gsd: float = 0.05,
    ambiguity: float = 1.0,
    bands: Sequence[str] = ('rgb',),
    compress: str = 'none',
) -> None:
    """Write tiles in the folders and under the file names of the ISPRS Potsdam archive.

    Like some of the archive's, one DSM is a column short: that of the second name.

    Args:
        out: Folder to write into; made where it is missing. Of what an earlier call has written
            there, files of the same names are replaced; a folder of anything else is refused.
        names: Tile names as ``row_col``; rows count southwards, columns eastwards, and tiles that
            are neighbours by their numbers touch on the map.
        size: Rows and columns of a tile, pixels.
        seed: Non-negative number of the city.
        gsd: Ground sampling distance, metres per pixel.
        ambiguity: Fraction of the things whose looks do not tell their class, 0 to 1.
        bands: Orthophotos to write, of ``rgb``, ``irrg`` and ``rgbir``.
        compress: GDAL's name of a GeoTIFF compression, or ``none`` as in the archive.

    Raises:
        OSError: If a file cannot be written.
        ValueError: If no name is given, a name or an orthophoto is unknown in kind, a number is
            beyond its limits, or the folder holds something else.
    """
    if not names:
        raise ValueError('No tile is named: give at least one, for example 2_10.')
    unknown = sorted(set(bands) - set(BANDS))
    if unknown or not bands:
        raise ValueError(f'Orthophotos {unknown} are unknown: choose from {sorted(BANDS)}.')
    with kept_folder(Path(out), TOOL) as ledger:
        ledger.expect(['README.txt'])
        write_text(ledger.folder / 'README.txt', _readme(names, size, seed, gsd, ambiguity))
        ledger.add(['README.txt'])
        for index, name in enumerate(track(names, description='Writing tiles')):
            tile = make_tile(name, (size, size), seed, gsd, ambiguity)
            transform = _transform(name, size, gsd)
            for file, pixels in _rasters(tile, name, bands, short=index == 1):
                ledger.expect([file])
                _write_raster(ledger.folder / file, pixels, transform, compress)
                ledger.add([file])
        ledger.save()


def class_boundaries(labels: np.ndarray, radius: int = 3) -> np.ndarray:
    """Mark the pixels that have another class within a radius.

    Args:
        labels: (H, W) uint8 class indices.
        radius: Pixels.

    Returns:
        (H, W) bool.
    """
    across = np.arange(-radius, radius + 1)
    disc = np.uint8(np.hypot(across[:, None], across) <= radius)
    return cv2.dilate(labels, disc) != cv2.erode(labels, disc)


def _rasters(
    tile: SyntheticTile, name: str, bands: Sequence[str], short: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Each raster's file in the archive and its (H, W, bands) pixels."""
    potsdam = ISPRSPotsdamDataset
    for kind in bands:
        yield _file(potsdam.OPTICAL[kind], name), tile.image[..., BANDS[kind]]
    dsm = tile.dsm[:, :-1] if short else tile.dsm
    yield _file(potsdam.HEIGHT['dsm'], name), dsm[..., None]
    colours = np.array(potsdam.METAINFO['palette'], np.uint8)[tile.labels]
    yield _file(potsdam.LABELS['full'], name), colours
    colours[class_boundaries(tile.labels)] = 0
    yield _file(potsdam.LABELS['eroded'], name), colours


def _file(source: Source, name: str) -> str:
    row, col = parse_name(name)
    return f'{source.folders[0]}/{source.name.format(tile=name, row=row, col=col)}'


def _transform(name: str, size: int, gsd: float) -> Affine:
    """Where a tile lies on the map."""
    row, col = parse_name(name)
    side = size * gsd
    # Potsdam lies about here in UTM zone 33 north.
    return from_origin(366000 + (col - 7) * side, 5808000 - (row - 2) * side, gsd, gsd)


def _write_raster(path: Path, pixels: np.ndarray, transform: Affine, compress: str) -> None:
    """Write (H, W, bands) pixels as a GeoTIFF in strips."""
    height, width, count = pixels.shape
    profile = {
        'driver': 'GTiff', 'height': height, 'width': width, 'count': count,
        'dtype': pixels.dtype, 'crs': 'EPSG:32633', 'transform': transform,
        'compress': None if compress == 'none' else compress,
    }  # fmt: skip
    if count >= 3:
        profile |= {'photometric': 'RGB', 'interleave': 'pixel'}
    if count == 4:
        profile |= {'alpha': 'unspecified'}  # infrared, not opacity

    with whole_file(path, RasterioError) as part, rasterio.open(part, 'w', **profile) as raster:
        raster.write(np.moveaxis(pixels, 2, 0))


def _readme(names: Sequence[str], size: int, seed: int, gsd: float, ambiguity: float) -> str:
    short = f'the DSM of {names[1]}' if len(names) > 1 else 'none here, as there is one tile'
    return (
        'A SYNTHETIC city in the layout of the ISPRS Potsdam archive. No pixel of it was '
        'photographed or measured, and nothing of ISPRS is in it.\n\n'
        f'Tiles: {" ".join(names)}\n'
        f'Size: {size} x {size} pixels of {gsd} m, EPSG:32633\n'
        f'Seed: {seed}\n'
        f'Ambiguity: {ambiguity:g}, the share of the things whose looks do not tell their class\n'
        f'A column short, as some DSMs of the archive are: {short}\n'
        'Made by tools/make_synthetic_isprs.py of mobanet_mmseg. A tile depends on seed, name, '
        'size, gsd and ambiguity alone; the short DSM on the order of the tiles.\n'
    )
