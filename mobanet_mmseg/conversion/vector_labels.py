"""Labels from the polygons of a vector file, told by one of their attributes."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.features import bounds as geometry_bounds
from rasterio.features import is_valid_geom, rasterize
from rasterio.transform import Affine
from rasterio.warp import transform_geom
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from mobanet_mmseg.conversion.legends import Legend, refuse_unknown
from mobanet_mmseg.conversion.splitting import PixelWindow
from mobanet_mmseg.datasets.multimodal import IGNORE_INDEX
from mobanet_mmseg.rasters.warping import apply, check_crs, check_overlap
from mobanet_mmseg.rasters.windows import RasterInfo

GEOJSON = ('.geojson', '.json')
SUFFIXES = (*GEOJSON, '.gpkg', '.shp', '.fgb', '.gml', '.kml')
AREAS = ('Polygon', 'MultiPolygon')
LONGITUDE_LATITUDE = CRS.from_epsg(4326)

Feature = tuple[dict[str, Any], dict[str, Any]]  # geometry, properties


class VectorLabels:
    """Polygons as class indices on the optical grid; a later one covers an earlier one.

    A pixel belongs to a polygon that its centre lies in.

    Args:
        path: The file.
        attribute: Name of the attribute that tells the class.
        legend: Which class a value of the attribute means.
        grid: Header of the optical raster.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be used: it is damaged, lies elsewhere, has no CRS or no
            such attribute, or holds something else than polygons.
    """

    def __init__(self, path: str, attribute: str, legend: Legend, grid: RasterInfo) -> None:
        features, crs = read_features(path)
        self.path = path
        self.legend = legend
        self.transform = grid.transform
        self._check_features(features, attribute)
        check_crs(path, crs, grid)
        geometries = [geometry for geometry, _ in features]
        boxes = np.array([geometry_bounds(geometry) for geometry in geometries])
        extent = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
        _check_degrees(path, crs, extent)
        check_overlap(path, crs, extent, grid)
        if crs is not None and crs != grid.crs:
            geometries = transform_geom(crs, grid.crs, geometries)
        self.geometries = geometries
        self.values = [_text(properties.get(attribute)) for _, properties in features]
        self.boxes = np.array([_pixel_box(geometry, ~grid.transform) for geometry in geometries])

    def read(self, window: PixelWindow) -> np.ndarray:
        """Draw (h, w) uint8 class indices, 255 where there is no label.

        Args:
            window: (row, col, height, width) of the optical grid, pixels.
        """
        row, col, height, width = window
        left, top, right, bottom = self.boxes.T
        near = (left < col + width) & (right > col) & (top < row + height) & (bottom > row)
        lookup = self.legend.lookup
        shapes = [
            (self.geometries[i], lookup.get(self.values[i], IGNORE_INDEX))
            for i in np.flatnonzero(near)
        ]
        if not shapes:
            return np.full((height, width), self.legend.background, np.uint8)
        return rasterize(
            shapes,
            out_shape=(height, width),
            fill=self.legend.background,
            transform=window_transform(Window(col, row, width, height), self.transform),
            dtype='uint8',
        )

    def refuse_unknown(self, windows: Iterator[PixelWindow]) -> None:
        """Refuse values of the attribute that no class names.

        Args:
            windows: Not used: the whole file is known.

        Raises:
            ValueError: If there are any; they are listed with their numbers of polygons.
        """
        for _ in windows:
            pass
        if not self.legend.ignores_others:
            unknown = Counter(v for v in self.values if v not in self.legend.lookup)
            refuse_unknown(self.path, unknown, 'polygons')

    def _check_features(self, features: list[Feature], attribute: str) -> None:
        if not features:
            raise ValueError(f'{self.path} holds no polygon: give the right file.')
        kinds = sorted({geometry['type'] for geometry, _ in features} - {*AREAS})
        if kinds:
            raise ValueError(
                f'{self.path} holds {", ".join(kinds)} where polygons are expected: buffer them '
                'into polygons, or give another file.'
            )
        broken = [i for i, (geometry, _) in enumerate(features, 1) if not is_valid_geom(geometry)]
        if broken:
            raise ValueError(
                f'{self.path} holds {len(broken)} polygon(s) with broken coordinates, first number '
                f'{broken[0]}: repair them (ogr2ogr -makevalid).'
            )
        known = sorted({name for _, properties in features for name in properties})
        if attribute not in known:
            raise ValueError(
                f'{self.path} has no attribute {attribute!r}; it has {known}: give one of these '
                'as --attribute.'
            )


def read_features(path: str) -> tuple[list[Feature], CRS | None]:
    """Read a vector file; features without a geometry are left out.

    GeoJSON is read as it is; other formats need fiona, the extra ``vector``.

    Args:
        path: The file.

    Returns:
        The geometry and the properties of each feature, and the file's CRS.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f'{path} does not exist: check the path, or put the file there.')
    geojson = Path(path).suffix.lower() in GEOJSON
    features, crs = _read_geojson(path) if geojson else _read_with_fiona(path)
    return [
        (geometry, dict(properties or {}))
        for geometry, properties in features
        if geometry is not None and geometry.get('coordinates', True)
    ], crs


def _read_geojson(path: str) -> tuple[list[tuple], CRS]:
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        features = content['features'] if content['type'] == 'FeatureCollection' else [content]
        pairs = [(feature['geometry'], feature['properties']) for feature in features]
        crs = content.get('crs')  # from before RFC 7946, which knows one CRS only
        crs = CRS.from_user_input(crs['properties']['name']) if crs else LONGITUDE_LATITUDE
    except (ValueError, KeyError, TypeError, AttributeError, CRSError) as error:
        raise ValueError(
            f'{path} cannot be read as a GeoJSON FeatureCollection ({error!r}): export it again.'
        ) from error
    return pairs, crs


def _read_with_fiona(path: str) -> tuple[list[tuple], CRS | None]:
    try:
        import fiona
    except ImportError:
        raise ValueError(
            f'{path} is read by fiona, which is not installed: pip install '
            '"mobanet_mmseg[vector]", or export the file as GeoJSON.'
        ) from None
    try:
        layers = fiona.listlayers(path)
        if len(layers) > 1:
            raise ValueError(f'it has the layers {layers} where one is expected')
        with fiona.open(path) as collection:
            crs = CRS.from_wkt(collection.crs_wkt) if collection.crs_wkt else None
            pairs = [
                (feature.geometry and feature.geometry.__geo_interface__, feature.properties)
                for feature in collection
            ]
    except (fiona.errors.FionaError, ValueError) as error:
        raise ValueError(
            f'{path} cannot be used as polygons ({error}): export the layer as GeoJSON.'
        ) from error
    return pairs, crs


def _check_degrees(path: str, crs: CRS | None, extent: tuple[float, ...]) -> None:
    if crs == LONGITUDE_LATITUDE and max(map(abs, extent)) > 360:
        raise ValueError(
            f'{path} has coordinates up to {max(map(abs, extent)):.0f}, but GeoJSON is in degrees '
            'of longitude and latitude: export it in EPSG:4326.'
        )


def _pixel_box(geometry: dict[str, Any], to_pixels: Affine) -> tuple[float, ...]:
    """Left, top, right and bottom of a geometry, pixels; of its bounds where the grid is turned."""
    left, bottom, right, top = geometry_bounds(geometry)
    corners = [apply(to_pixels, x, y) for x in (left, right) for y in (bottom, top)]
    cols, rows = zip(*corners, strict=True)
    return min(cols), min(rows), max(cols), max(rows)


def _text(value: Any) -> str:
    """A value as a user types it: 2 for 2.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
