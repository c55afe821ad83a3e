"""Reads polygons and their attributes from files; what these name is never fetched."""

import json
import math
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS
from rasterio.errors import CRSError

from mobanet_mmseg.installation import how_to_install
from mobanet_mmseg.rasters.files import gdal_name
from mobanet_mmseg.rasters.sources import UNREADABLE, file_on_disk, open_file
from mobanet_mmseg.writing import decode

GEOJSON = ('.geojson', '.json')
# How a file of each kind begins: one that says otherwise might be a text that names addresses.
BEGINNINGS = {
    '.gpkg': (b'SQLite format 3\0',),
    '.shp': (b'\0\0\x27\x0a',),
    '.fgb': (b'fgb',),
    '.gml': (b'<',),
    '.kml': (b'<',),
}
BEGINNING = 4096  # bytes
ADDRESSES = re.compile(rb'<(?:OGR|GDAL|WFS|WMS|WCS)')  # of GDAL's texts that stand for other data
SUFFIXES = (*GEOJSON, *BEGINNINGS)
FETCH_NOTHING = {'GML_DOWNLOAD_SCHEMA': 'NO', 'GML_SKIP_RESOLVE_ELEMS': 'ALL'}  # of GDAL
AREAS = {'Polygon': 1, 'MultiPolygon': 2}  # lists around a ring
LONGITUDE_LATITUDE = CRS.from_epsg(4326)
# 'EPSG:25832', 'urn:ogc:def:crs:OGC:1.3:CRS84': of any other text GDAL might open a file or fetch
# an address
CRS_NAME = re.compile(
    r'(?:urn:(?:x-)?ogc:def:crs:|https?://(?:www\.)?opengis\.net/def/crs/)?'
    r'(?P<authority>EPSG|OGC|ESRI|IGNF)[:/](?:[\d.]*[:/])?(?P<code>[\w+]+)',
    re.IGNORECASE,
)
NO_UTF8 = re.compile('[\ud800-\udfff]')  # as Python shows bytes of a name that are no text

Feature = tuple[dict[str, Any], dict[str, Any]]  # geometry, properties


def is_vector(path: str) -> bool:
    """Whether a path leads to a vector file, in a zip perhaps.

    Args:
        path: A file, or a file in a zip as GDAL names it.
    """
    return Path(path).suffix.lower() in SUFFIXES or bool(_layers_of_zip(path))


def read_features(path: str) -> tuple[list[Feature], CRS | None]:
    """Read the polygons of a vector file; features without a geometry are left out.

    GeoJSON is read as it is; other formats need pyogrio and shapely, the extra
    ``vector``.

    Args:
        path: The file, or a zip that holds it.

    Returns:
        The geometry and the properties of each feature, and the file's CRS.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read, or holds something else than sound polygons.
    """
    if file_on_disk(path) is None:
        raise FileNotFoundError(f'{path} does not exist: check the path, or put the file there.')
    inside = _layers_of_zip(path)
    if len(inside) > 1:
        raise ValueError(
            f'{path} holds {", ".join(inside)} where one vector file is expected: name it, as '
            f'/vsizip/{path}/{inside[0]}.'
        )
    name = f'/vsizip/{path}/{inside[0]}' if inside else gdal_name(path)
    try:
        features, crs = _read(name)
        known = [(geometry, properties) for geometry, properties in features if _is_there(geometry)]
        _check_polygons([geometry for geometry, _ in known])
        return [(_flat(geometry), dict(properties or {})) for geometry, properties in known], crs
    except _VectorError as error:
        raise ValueError(f'{path} {error}') from error


def refuse_odd_name(path: str | Path) -> None:
    """Refuse names that pyogrio does not give to GDAL as they are: it cuts them at ``!`` and ``;``.

    GDAL would read or write another file.

    Args:
        path: A file, as GDAL names it.

    Raises:
        ValueError: If it has such a name.
    """
    from pyogrio.util import vsi_path  # of the extra `vector`

    name = str(path)
    if vsi_path(name) != name or NO_UTF8.search(name):
        raise ValueError(
            f"{name!r} has a character, in its name or a folder's, that would lead pyogrio to "
            'another file (such as ! or ;): give it another name.'
        )


class _VectorError(Exception):
    """What is wrong with a file, after its name."""


def _read(name: str) -> tuple[list[tuple], CRS | None]:
    suffix = Path(name).suffix.lower()
    if suffix in GEOJSON:
        return _read_geojson(_read_bytes(name, -1))
    if suffix in BEGINNINGS:
        return _read_with_pyogrio(name, _read_bytes(name, BEGINNING))
    raise _VectorError(
        f'is no vector file by its name: give one that ends in {", ".join(SUFFIXES)}, or a zip '
        'that holds one.'
    )


def _layers_of_zip(path: str) -> list[str]:
    """Names of the vector files in a zip."""
    if Path(path).suffix.lower() not in ('.zip', '.shz') or not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    names = [name for name in names if not name.startswith('__MACOSX/')]
    return [name for name in names if Path(name).suffix.lower() in SUFFIXES]


def _read_bytes(name: str, count: int) -> bytes:
    try:
        with open_file(name) as file:
            return file.read(count)
    except UNREADABLE as error:
        raise _VectorError(f'cannot be read ({error}): copy or download it again.') from error


def _read_geojson(content: bytes) -> tuple[list[tuple], CRS]:
    try:
        content = json.loads(decode(content))
        features = content['features'] if content['type'] == 'FeatureCollection' else [content]
        pairs = [(feature['geometry'], feature['properties']) for feature in features]
        if not all(isinstance(properties, dict | None) for _, properties in pairs):
            raise ValueError('properties that are no object')
        crs = content.get('crs')  # from before RFC 7946, which knows one CRS only
        return pairs, _named_crs(crs['properties']['name']) if crs else LONGITUDE_LATITUDE
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, CRSError) as error:
        raise _VectorError(
            f'cannot be read as a GeoJSON FeatureCollection ({error!r}): export it again.'
        ) from error


def _named_crs(name: str) -> CRS:
    named = CRS_NAME.fullmatch(name)
    if named is None:
        raise ValueError(f'{name!r} is no name of a CRS such as EPSG:25832')
    return CRS.from_user_input(f'{named["authority"]}:{named["code"]}')


def _read_with_pyogrio(name: str, content: bytes) -> tuple[list[tuple], CRS | None]:
    try:
        import pyogrio
        import shapely
    except ImportError:
        raise _VectorError(
            'is read by pyogrio and shapely, which are not installed: '
            f'{how_to_install("vector")}, or export the file as GeoJSON.'
        ) from None
    try:
        refuse_odd_name(name)
    except ValueError as error:
        raise _VectorError(f'cannot be read: {error}') from error
    suffix = Path(name).suffix.lower()
    start = content.removeprefix(b'\xef\xbb\xbf').lstrip(b' \t\r\n')
    if not start.startswith(BEGINNINGS[suffix]) or ADDRESSES.search(start):
        raise _VectorError(f'is no {suffix[1:]} file, by how it begins: give the right file.')
    pyogrio.set_gdal_config_options(FETCH_NOTHING)
    try:
        # a GeoPackage has tables without a place beside its layers: styles, projects
        layers = [str(layer) for layer, kind in pyogrio.list_layers(name) if kind is not None]
        if len(layers) != 1:
            raise ValueError(f'it has the layers {layers} where one is expected')
        number = pyogrio.read_info(name, layer=layers[0])['fid_column']  # '' where it has no name
        meta, numbers, shapes, columns = pyogrio.raw.read(
            name, layer=layers[0], force_2d=True, return_fids=True
        )
        fields, columns = meta['fields'].tolist(), list(columns)
        if number and number not in fields:  # a GeoPackage from QGIS may have nothing else
            fields, columns = [number, *fields], [numbers, *columns]
        geometries = [
            shape and shape.__geo_interface__ for shape in shapely.from_wkb(shapes).tolist()
        ]
        values = [map(_known, column.tolist()) for column in columns]
        rows = zip(*values, strict=True) if values else ((),) * len(geometries)
        properties = [dict(zip(fields, row, strict=True)) for row in rows]
        crs = CRS.from_string(meta['crs']) if meta['crs'] else None
    except (RuntimeError, shapely.errors.ShapelyError, CRSError, ValueError) as error:
        raise _VectorError(
            f'cannot be used as polygons ({error}): export the layer as GeoJSON.'
        ) from error
    return list(zip(geometries, properties, strict=True)), crs


def _known(value: Any) -> Any:
    """A value of an attribute; an absent number comes as NaN."""
    return None if isinstance(value, float) and math.isnan(value) else value


def _is_there(geometry: Any) -> bool:
    """Whether a feature has a geometry: RFC 7946 lets it be null, or its coordinates be empty."""
    return geometry is not None and not (
        isinstance(geometry, dict) and geometry.get('coordinates', True) in ([], ())
    )


def _flat(geometry: dict[str, Any]) -> dict[str, Any]:
    """A sound geometry without heights, and without what else a GeoJSON may say of it (bbox)."""

    def flat(value: Any, depth: int) -> Any:
        return [flat(part, depth - 1) for part in value] if depth else tuple(value[:2])

    kind = geometry['type']
    return {'type': kind, 'coordinates': flat(geometry['coordinates'], AREAS[kind] + 1)}


def _check_polygons(geometries: list[Any]) -> None:
    if not geometries:
        raise _VectorError('holds no polygon: give the right file.')
    kinds = [
        str(geometry.get('type') if isinstance(geometry, dict) else geometry)[:40]
        for geometry in geometries
    ]
    others = sorted({*kinds} - {*AREAS})
    if others:
        raise _VectorError(
            f'holds {", ".join(others[:8])} where polygons are expected: buffer them into '
            'polygons, or give another file.'
        )
    broken = [i for i, geometry in enumerate(geometries, 1) if not _is_sound(geometry)]
    if broken:
        raise _VectorError(
            f'holds {len(broken)} polygon(s) with broken coordinates, first number {broken[0]}: '
            'repair them (ogr2ogr -makevalid).'
        )


def _is_sound(geometry: dict[str, Any]) -> bool:
    """Whether all rings are lists of four and more places of finite numbers."""
    try:
        rings: Iterable = geometry['coordinates']
        for _ in range(AREAS[geometry['type']] - 1):
            if not all(rings):
                return False
            rings = [ring for part in rings for ring in part]
        places = [np.array([place[:2] for place in ring]) for ring in rings]
    except (KeyError, TypeError, ValueError, IndexError):
        return False
    return bool(places) and all(
        ring.ndim == 2
        and len(ring) >= 4
        and ring.shape[1] == 2
        and ring.dtype.kind in 'iuf'
        and np.isfinite(ring).all()
        for ring in places
    )
