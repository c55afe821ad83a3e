"""Areas on a map: in its own units where these are lengths, in square metres where they are angles.

In a CRS of longitude and latitude, areas are those on the ellipsoid.
"""

import re

import numpy as np

from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.grids import apply
from mobanet_mmseg.rasters.label_maps import PIXEL_UNITS
from mobanet_mmseg.tiling.windows import Window

ELLIPSOID = re.compile(r'(?:SPHEROID|ELLIPSOID)\["[^"]*",\s*([\d.eE+]+),\s*([\d.eE+]+)')


class Areas:
    """Areas of pixels and polygons of a raster.

    Args:
        grid: Header of the raster.
    """

    def __init__(self, grid: RasterInfo) -> None:
        self.grid = grid
        self._angular = grid.crs is not None and grid.crs.is_geographic

    @property
    def unit(self) -> str:
        """What an area of 1 is."""
        if self._angular:
            return 'square metre'
        if self.grid.crs is None:
            pixels = self.grid.transform == PIXEL_UNITS
            return 'pixel' if pixels else 'square map unit'
        return f'square {self.grid.crs.units_factor[0]}'

    def of_pixels(self, window: Window) -> np.ndarray:
        """Give the area of each pixel of a window; (1, 1), (h, 1) or (h, w), as far as they differ.

        Args:
            window: The window.
        """
        transform = self.grid.transform
        if not self._angular:
            return np.full((1, 1), abs(transform.determinant))
        turned = transform.b != 0 or transform.d != 0
        cols = np.arange(window.col, window.right + 1 if turned else window.col + 2)
        rows = np.arange(window.row, window.bottom + 1)
        x, y = self._flat(*np.meshgrid(cols, rows))
        down_x, down_y = x[1:, 1:] - x[:-1, :-1], y[1:, 1:] - y[:-1, :-1]  # the diagonals
        up_x, up_y = x[:-1, 1:] - x[1:, :-1], y[:-1, 1:] - y[1:, :-1]
        return abs(down_x * up_y - down_y * up_x) / 2

    def of_polygons(self, polygons: np.ndarray) -> np.ndarray:
        """Give the area of each polygon.

        Args:
            polygons: Shapely's, in columns and rows of the raster.
        """
        import shapely  # of the extra `vector`

        if not self._angular:
            return shapely.area(polygons) * abs(self.grid.transform.determinant)
        return shapely.area(shapely.transform(polygons, lambda p: np.stack(self._flat(*p.T), 1)))

    def _flat(self, cols: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project pixels onto a plane on which areas are those on the ellipsoid.

        It is Lambert's cylindrical one: longitude across, and up the area between the equator and
        the latitude, an angle of 1 wide. Source: Snyder, Map Projections (1987), Eq. 3-12, 10-15.
        """
        _, radians = self.grid.crs.units_factor
        longitude, latitude = (radians * each for each in apply(self.grid.transform, cols, rows))
        semi_major, inverse_flattening = map(
            float, ELLIPSOID.search(self.grid.crs.to_wkt()).groups()
        )
        flattening = 1 / inverse_flattening if inverse_flattening else 0.0
        squared = flattening * (2 - flattening)  # eccentricity
        sine = np.sin(latitude)
        if squared == 0:
            return longitude, semi_major**2 * sine
        e = np.sqrt(squared)
        up = sine / (1 - squared * sine**2) + np.arctanh(e * sine) / e
        return longitude, semi_major**2 * (1 - squared) / 2 * up
