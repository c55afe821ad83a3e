"""Labels from the polygons of a vector file, told by one of their attributes."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.features import rasterize

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.conversion.labels import LabelCodes, refuse_unknown
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.vectors.files import Feature, read_features
from mobanet_mmseg.vectors.placing import PlacedPolygons


class PolygonLabels:
    """Polygons of a vector file, told by one of their attributes; a later one covers an earlier.

    A pixel belongs to a polygon that its centre lies in.

    Args:
        path: The file, or a zip that holds it.
        attribute: Name of the attribute that tells the class; None makes all polygons the one class
            that the codes have.
        codes: Which class a value of the attribute means.
        grid: Header of the optical raster.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be used: it is damaged, lies elsewhere, has no CRS or no
            such attribute, or holds something else than polygons.
    """

    def __init__(
        self, path: str, attribute: str | None, codes: LabelCodes, grid: RasterInfo
    ) -> None:
        features, crs = read_features(path)
        if attribute is not None:
            _check_attribute(path, features, attribute)
        geometries = [geometry for geometry, _ in features]
        self._polygons = PlacedPolygons(path, geometries, crs, grid)
        self.path, self.codes, self._grid = path, codes, grid
        if attribute is None:
            self._values = [next(iter(codes.lookup))] * len(features)
        else:
            self._values = [_text(properties.get(attribute)) for _, properties in features]

    def read(self, window: Window) -> np.ndarray:
        """Draw (h, w) uint8 class indices, 255 where there is no label.

        Args:
            window: Window of the optical grid.
        """
        shapes = [
            (self._polygons.geometries[i], self.codes.lookup.get(self._values[i], IGNORE_INDEX))
            for i in self._polygons.near(window)
        ]
        if not shapes:
            return np.full((window.height, window.width), self.codes.background, np.uint8)
        return rasterize(
            shapes,
            out_shape=(window.height, window.width),
            fill=self.codes.background,
            transform=self._grid.crop(window).transform,
            dtype='uint8',
        )

    def refuse_unknown(self, _: Sequence[Window]) -> None:
        """Refuse values of the attribute that no class names.

        Raises:
            ValueError: If there are any; they are listed with their numbers of polygons.
        """
        if not self.codes.ignores_others:
            unknown = Counter(v for v in self._values if v not in self.codes.lookup)
            refuse_unknown(self.path, unknown, 'polygons')


def _check_attribute(path: str, features: Sequence[Feature], attribute: str) -> None:
    known = sorted({name for _, properties in features for name in properties})
    if attribute not in known:
        raise ValueError(
            f'{path} has no attribute {attribute!r}; it has {known}: give one of these as '
            '--attribute, or --burn NAME to make all polygons one class.'
        )


def _text(value: Any) -> str:
    """A value as a user types it: 2 for 2.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
