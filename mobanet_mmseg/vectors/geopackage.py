"""Writes the polygons of a label map into a GeoPackage."""

import re
import warnings
from pathlib import Path

import numpy as np

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.installation import how_to_install
from mobanet_mmseg.rasters.grids import apply
from mobanet_mmseg.rasters.label_maps import LabelMap
from mobanet_mmseg.vectors.areas import Areas
from mobanet_mmseg.vectors.files import refuse_odd_name
from mobanet_mmseg.writing import whole_file

ENDING = '.gpkg'
NO_LAYER = re.compile(r'[^\w ]|gpkg|sqlite_', re.IGNORECASE)  # how a layer's name may not begin


def check_library() -> None:
    """Find out early whether polygons can be written.

    Raises:
        ValueError: If pyogrio or shapely is not installed.
    """
    try:
        import pyogrio  # noqa: F401
        import shapely  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f'Polygons are traced by shapely and written by pyogrio ({error}): '
            f'{how_to_install("vector")}.'
        ) from None


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is none.

    Args:
        tolerance: In map units.

    Raises:
        ValueError: If it is negative, or no finite number.
    """
    if not 0 <= tolerance < float('inf'):
        raise ValueError(f'The tolerance of polygons is {tolerance}: give 0 or more, in map units.')


def write_polygons(path: str | Path, label_map: LabelMap, tolerance: float = 0.0) -> int:
    """Write the polygons of a label map: one layer with ``class``, ``name`` and ``area``.

    A polygon is made of pixels that touch by their sides; its holes stay, and neighbours keep their
    common borders. Pixels without a class get none.

    Args:
        path: GeoPackage to write; the layer has its stem as name, after ``map_`` where a
            GeoPackage's layer may not begin so.
        label_map: The map.
        tolerance: Corners are cut off whose triangle is smaller than its square, map units.

    Returns:
        The number of polygons.

    Raises:
        ValueError: If the libraries are not installed, the map cannot be read, or pyogrio would
            write another file.
        OSError: If the file cannot be written.
    """
    check_library()
    check_tolerance(tolerance)
    refuse_odd_name(path)
    from mobanet_mmseg.vectors.tracing import trace_polygons

    grid, names = label_map.grid, np.array(label_map.classes.names, object)
    areas, count = Areas(grid), 0
    # of an area, so that it means the same in any direction of a turned or stretched grid
    pixels = tolerance / abs(grid.transform.determinant) ** 0.5
    name = Path(path).stem
    name = f'map_{name}' if NO_LAYER.match(name) else name
    with whole_file(path, RuntimeError) as part:
        layer = _Layer(part, name, label_map, areas.unit)
        for polygons, labels in trace_polygons(label_map.read, grid.height, grid.width, pixels):
            known = labels != IGNORE_INDEX
            polygons, labels = polygons[known], labels[known]
            layer.append(polygons, labels, names[labels], areas.of_polygons(polygons))
            count += len(polygons)
    return count


class _Layer:
    """The one layer of a GeoPackage, which features are appended to."""

    def __init__(self, path: Path, name: str, label_map: LabelMap, unit: str) -> None:
        self._path, self._transform = path, label_map.grid.transform
        crs = label_map.grid.crs
        self._options = {
            'layer': name,
            'driver': 'GPKG',
            'geometry_type': 'Polygon',
            'fields': ['class', 'name', 'area'],
            'crs': None if crs is None else crs.to_wkt(),
        }
        self._write([], np.array([], np.int16), np.array([], object), np.array([]), unit=unit)

    def append(
        self, polygons: np.ndarray, labels: np.ndarray, names: np.ndarray, areas: np.ndarray
    ) -> None:
        import shapely

        def place(points: np.ndarray) -> np.ndarray:
            return np.stack(apply(self._transform, *points.T), axis=1)

        if len(polygons):
            placed = shapely.to_wkb(shapely.transform(polygons, place))
            self._write(placed, labels.astype(np.int16), names, areas)

    def _write(self, polygons: list | np.ndarray, *columns: np.ndarray, unit: str = '') -> None:
        from pyogrio import raw

        with warnings.catch_warnings():
            # the hidden name has another ending, and some maps have no CRS
            warnings.simplefilter('ignore')
            raw.write(
                self._path,
                np.array(polygons, object),
                list(columns),
                append=not unit,
                layer_metadata={'area': unit} if unit else None,
                **self._options,
            )
