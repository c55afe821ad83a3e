"""Labels from the polygons of a vector file, told by one of their attributes."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.features import bounds as geometry_bounds
from rasterio.features import is_valid_geom, rasterize
from rasterio.transform import Affine
from rasterio.warp import transform_geom

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.conversion.labels import LabelCodes, refuse_unknown
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.grids import apply, check_crs, check_overlap, extent
from mobanet_mmseg.tiling.windows import Window

GEOJSON = ('.geojson', '.json')
SUFFIXES = (*GEOJSON, '.gpkg', '.shp', '.fgb', '.gml', '.kml')
AREAS = ('Polygon', 'MultiPolygon')
LONGITUDE_LATITUDE = CRS.from_epsg(4326)
# 'EPSG:25832', 'urn:ogc:def:crs:OGC:1.3:CRS84': of any other text GDAL might open a file or fetch
# an address
CRS_NAME = re.compile(
    r'(?:urn:(?:x-)?ogc:def:crs:|https?://(?:www\.)?opengis\.net/def/crs/)?'
    r'(?P<authority>[A-Za-z]+)[:/](?:[\d.]*[:/])?(?P<code>[\w+]+)'
)

Feature = tuple[dict[str, Any], dict[str, Any]]  # geometry, properties


class PolygonLabels:
    """Polygons of a vector file, told by one of their attributes; a later one covers an earlier.

    A pixel belongs to a polygon that its centre lies in.

    Args:
        path: The file.
        attribute: Name of the attribute that tells the class.
        codes: Which class a value of the attribute means.
        grid: Header of the optical raster.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be used: it is damaged, lies elsewhere, has no CRS or no
            such attribute, or holds something else than polygons.
    """

    def __init__(self, path: str, attribute: str, codes: LabelCodes, grid: RasterInfo) -> None:
        features, crs = read_features(path)
        _check_features(path, features, attribute)
        geometries = [geometry for geometry, _ in features]
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
        if crs is not None and crs != grid.crs:
            geometries = transform_geom(crs, grid.crs, geometries)
        self.path, self.codes, self._grid = path, codes, grid
        self._geometries = geometries
        self._values = [_text(properties.get(attribute)) for _, properties in features]
        self._boxes = np.array([_pixel_box(geometry, ~grid.transform) for geometry in geometries])

    def read(self, window: Window) -> np.ndarray:
        """Draw (h, w) uint8 class indices, 255 where there is no label.

        Args:
            window: Window of the optical grid.
        """
        left, top, right, bottom = self._boxes.T
        across = (left < window.right) & (right > window.col)
        near = across & (top < window.bottom) & (bottom > window.row)
        shapes = [
            (self._geometries[i], self.codes.lookup.get(self._values[i], IGNORE_INDEX))
            for i in np.flatnonzero(near)
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
        return pairs, _named_crs(crs['properties']['name']) if crs else LONGITUDE_LATITUDE
    except (ValueError, KeyError, TypeError, AttributeError, CRSError) as error:
        raise ValueError(
            f'{path} cannot be read as a GeoJSON FeatureCollection ({error!r}): export it again.'
        ) from error


def _named_crs(name: str) -> CRS:
    named = CRS_NAME.fullmatch(name)
    if named is None:
        raise ValueError(f'{name!r} is no name of a CRS such as EPSG:25832')
    return CRS.from_user_input(f'{named["authority"]}:{named["code"]}')


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


def _check_features(path: str, features: Sequence[Feature], attribute: str) -> None:
    if not features:
        raise ValueError(f'{path} holds no polygon: give the right file.')
    kinds = sorted({geometry['type'] for geometry, _ in features} - {*AREAS})
    if kinds:
        raise ValueError(
            f'{path} holds {", ".join(kinds)} where polygons are expected: buffer them into '
            'polygons, or give another file.'
        )
    broken = [i for i, (geometry, _) in enumerate(features, 1) if not is_valid_geom(geometry)]
    if broken:
        raise ValueError(
            f'{path} holds {len(broken)} polygon(s) with broken coordinates, first number '
            f'{broken[0]}: repair them (ogr2ogr -makevalid).'
        )
    known = sorted({name for _, properties in features for name in properties})
    if attribute not in known:
        raise ValueError(
            f'{path} has no attribute {attribute!r}; it has {known}: give one of these as '
            '--attribute.'
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
