"""Small rasters on disk: written, and read back, as (H, W) or (H, W, C)."""

import warnings
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

PALETTE = np.array(
    [[255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0], [255, 255, 0], [255, 0, 0]], np.uint8
)


def write_raster(path: Path, pixels: np.ndarray, **profile) -> Path:
    """Write (H, W) or (H, W, C) pixels as a GeoTIFF of 5 cm, or as the profile says."""
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    height, width, count = pixels.shape
    path.parent.mkdir(parents=True, exist_ok=True)
    layout = {
        'driver': 'GTiff',
        'height': height,
        'width': width,
        'count': count,
        'dtype': pixels.dtype,
        'crs': 'EPSG:32633',
        'transform': from_origin(366_000, 5_808_000, 0.05, 0.05),
        'interleave': 'pixel',
    }
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path, 'w', **{**layout, **profile}) as raster:
            raster.write(np.moveaxis(pixels, -1, 0))
    return path


def read_raster(path: Path) -> np.ndarray:
    """Read the (H, W, C) pixels of a raster, (H, W) of one with a single band."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(path) as raster:
            pixels = raster.read()
    return pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)


def random_tile(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, ...]:
    """Optical uint8 (H, W, 3), heights float32 (H, W) and class indices uint8 (H, W)."""
    rng = np.random.default_rng(seed)
    optical = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    heights = rng.uniform(30, 60, shape).astype(np.float32)
    return optical, heights, rng.integers(0, 6, shape, dtype=np.uint8)


def write_potsdam(root: Path, tiles: list[str], shape: tuple[int, int] = (37, 53)) -> None:
    """Write tiles in the layout and names of the Potsdam archive; DSMs are a column short."""
    for seed, tile in enumerate(tiles):
        optical, heights, labels = random_tile(shape, seed)
        row, col = tile.split('_')
        write_raster(root / f'2_Ortho_RGB/top_potsdam_{tile}_RGB.tif', optical)
        write_raster(root / f'1_DSM/dsm_potsdam_{int(row):02}_{int(col):02}.tif', heights[:, :-1])
        name = f'5_Labels_all_noBoundary/top_potsdam_{tile}_label_noBoundary.tif'
        write_raster(root / name, PALETTE[labels])
