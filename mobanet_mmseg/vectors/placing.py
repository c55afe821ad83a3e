"""Brings polygons of a file onto the grid of a raster."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.features import bounds as geometry_bounds
from rasterio.transform import Affine
from rasterio.warp import transform_geom

from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.grids import apply, check_crs, check_overlap, extent, horizontal_crs
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.vectors.files import LONGITUDE_LATITUDE

Geometry = dict[str, Any]  # of GeoJSON


class PlacedPolygons:
    """Polygons in the CRS of a raster, each with the pixels that it may cover.

    Args:
        path: The file that they come from.
        geometries: Polygons.
        crs: Their coordinate reference system.
        grid: Header of the raster.

    Raises:
        ValueError: If they lie elsewhere, one of the two has no CRS, or the CRS of one cannot be
            brought to the other's.
    """

    def __init__(
        self, path: str, geometries: Sequence[Geometry], crs: CRS | None, grid: RasterInfo
    ) -> None:
        boxes = np.array([geometry_bounds(geometry) for geometry in geometries])
        bounds = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
        if crs == LONGITUDE_LATITUDE and max(map(abs, bounds)) > 360:
            raise ValueError(
                f'{path} has coordinates up to {max(map(abs, bounds)):.0f}, but GeoJSON is in '
                'degrees of longitude and latitude: export it in EPSG:4326.'
            )
        covered = extent(path, crs, bounds)
        check_crs(covered, grid)
        check_overlap(covered, grid)
        target = horizontal_crs(grid.crs)
        if target is not None and horizontal_crs(crs) != target:
            geometries = _transformed(path, crs, grid, geometries)
        self.geometries = geometries
        self._boxes = np.array([_pixel_box(geometry, ~grid.transform) for geometry in geometries])
        self._shape = grid.height, grid.width

    def near(self, window: Window) -> np.ndarray:
        """Give the numbers of the polygons whose boxes meet a window, counted from 0.

        Args:
            window: Window of the raster.
        """
        left, top, right, bottom = self._boxes.T
        across = (left < window.right) & (right > window.col)
        return np.flatnonzero(across & (top < window.bottom) & (bottom > window.row))

    def windows(self) -> Iterator[Window]:
        """Give the pixels of the raster that each polygon's box meets, in their order."""
        ends = np.array(self._shape[::-1] * 2)
        boxes = np.clip(self._boxes, 0, ends)
        boxes = np.hstack([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])]).astype(int)
        for left, top, right, bottom in boxes.tolist():
            yield Window(top, left, bottom - top, right - left)


def _transformed(
    path: str, crs: CRS, grid: RasterInfo, geometries: Sequence[Geometry]
) -> list[Geometry]:
    try:
        moved = transform_geom(crs, horizontal_crs(grid.crs), geometries)
        if np.isfinite([geometry_bounds(geometry) for geometry in moved]).all():
            return moved
        found = 'coordinates without an end'
    except (CPLE_BaseError, RasterioError, ValueError) as error:
        found = str(error)
    raise ValueError(
        f'{path} lies where its coordinates have none in the CRS of {grid.path} ({found}): give '
        'the right file, or export it in that CRS.'
    )


def _pixel_box(geometry: Geometry, to_pixels: Affine) -> tuple[float, ...]:
    """Left, top, right and bottom of a geometry, pixels; of its bounds where the grid is turned."""
    left, bottom, right, top = geometry_bounds(geometry)
    corners = [apply(to_pixels, x, y) for x in (left, right) for y in (bottom, top)]
    cols, rows = zip(*corners, strict=True)
    return min(cols), min(rows), max(cols), max(rows)
