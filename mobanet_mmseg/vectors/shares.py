"""Counts a label map: the area of each class, on the whole map and in the zones of a layer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.features import geometry_mask

from mobanet_mmseg.classes import IGNORE_INDEX
from mobanet_mmseg.rasters.label_maps import LabelMap
from mobanet_mmseg.rasters.windows import chunks
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.vectors.areas import Areas
from mobanet_mmseg.vectors.files import read_features
from mobanet_mmseg.vectors.placing import Geometry, PlacedPolygons
from mobanet_mmseg.writing import to_csv, write_text

NO_CLASS = 'no data'


class LabelCounts:
    """Pixels and areas of the classes of a map.

    Args:
        label_map: The map.
    """

    def __init__(self, label_map: LabelMap) -> None:
        self.pixels = np.zeros(256, np.int64)
        self.areas = np.zeros(256)
        self._number = len(label_map.classes)
        self._map_areas = Areas(label_map.grid)

    def add(self, labels: np.ndarray, window: Window, inside: np.ndarray | None = None) -> None:
        """Count a window.

        Args:
            labels: Its labels.
            window: Where it lies.
            inside: Which of its pixels count; None is all.
        """
        areas = np.broadcast_to(self._map_areas.of_pixels(window), labels.shape)
        if inside is not None:
            labels, areas = labels[inside], areas[inside]
        self.pixels += np.bincount(labels.ravel(), minlength=256)
        self.areas += np.bincount(labels.ravel(), areas.ravel(), minlength=256)

    @property
    def area(self) -> float:
        """Area of all that has a class."""
        return float(self.areas[: self._number].sum())

    def share(self, label: int) -> float:
        """Per cent of the area that has a class; NaN where nothing has.

        Args:
            label: Index of a class.
        """
        return 100 * float(self.areas[label]) / self.area if self.area else float('nan')


def write_statistics(path: str | Path, label_map: LabelMap) -> None:
    """Write the area of each class: CSV with a row for each and one for what has none.

    Args:
        path: Output path.
        label_map: The map.

    Raises:
        ValueError: If it cannot be read.
        OSError: If the file cannot be written.
    """
    counts = LabelCounts(label_map)
    for window in chunks(label_map.grid):
        counts.add(label_map.read(window), window)
    unit = Areas(label_map.grid).unit
    rows = []
    for label, name in [*enumerate(label_map.classes.names), (IGNORE_INDEX, NO_CLASS)]:
        row = {'class': label, 'name': name, 'pixels': int(counts.pixels[label])}
        row |= {'area': _significant(counts.areas[label]), 'unit': unit}
        row['percent'] = None if label == IGNORE_INDEX else _rounded(counts.share(label))
        rows.append(row)
    write_text(path, to_csv(rows))


def write_zones(path: str | Path, label_map: LabelMap, zones: str) -> int:
    """Write what share of each zone a class has: CSV with a row for each polygon of a layer.

    A pixel belongs to each zone that its centre lies in. The zone's attributes stand before its
    numbers, as ``zone_...``.

    Args:
        path: Output path.
        label_map: The map.
        zones: Vector file of the zones, in any CRS.

    Returns:
        The number of zones.

    Raises:
        ValueError: If the zones cannot be used, or the map cannot be read.
        OSError: If the file cannot be written.
    """
    features, crs = read_features(zones)
    placed = PlacedPolygons(zones, [geometry for geometry, _ in features], crs, label_map.grid)
    unit, rows = Areas(label_map.grid).unit, []
    names = label_map.classes.names
    columns = [
        f'percent_{name}' + (f'_{label}' if names.count(name) > 1 else '')
        for label, name in enumerate(names)
    ]
    each = zip(features, placed.geometries, placed.windows(), strict=True)
    for number, ((_, attributes), geometry, window) in enumerate(each, 1):
        counts = _count_zone(label_map, geometry, window)
        row: dict[str, Any] = {'zone': number}
        row |= {f'zone_{name}': _cell(value) for name, value in attributes.items()}
        row['pixels'] = int(counts.pixels[: len(label_map.classes)].sum())
        row['no_data'] = int(counts.pixels[IGNORE_INDEX])
        row |= {'area': _significant(counts.area), 'unit': unit}
        row |= {name: _rounded(counts.share(label)) for label, name in enumerate(columns)}
        rows.append(row)
    write_text(path, to_csv(rows))
    return len(rows)


def _count_zone(label_map: LabelMap, geometry: Geometry, window: Window) -> LabelCounts:
    counts = LabelCounts(label_map)
    if min(window.height, window.width) == 0:
        return counts
    step = next(chunks(label_map.grid)).height
    for row in range(window.row, window.bottom, step):
        part = Window(row, window.col, min(step, window.bottom - row), window.width)
        inside = geometry_mask(
            [geometry],
            (part.height, part.width),
            label_map.grid.crop(part).transform,
            invert=True,
        )
        if inside.any():
            counts.add(label_map.read(part), part, inside)
    return counts


def _cell(value: Any) -> Any:
    """An attribute of a zone as a table has it: of lists and objects, which GeoJSON has, JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _significant(area: float) -> float:
    return float(f'{area:.12g}')  # digits, not decimals: map units may be degrees or kilometres


def _rounded(value: float) -> float:
    return round(float(value), 6)
