"""The files beside a label map that are made of it: polygons, styles, statistics, zones' shares."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobanet_mmseg.rasters.label_maps import open_label_map
from mobanet_mmseg.rasters.sources import files_behind
from mobanet_mmseg.vectors.files import read_features, refuse_odd_name
from mobanet_mmseg.vectors.geopackage import (
    ENDING,
    check_library,
    check_tolerance,
    write_polygons,
)
from mobanet_mmseg.vectors.qgis import polygon_style, raster_style
from mobanet_mmseg.vectors.shares import write_statistics, write_zones
from mobanet_mmseg.writing import check_outputs, prepare_place, write_text


@dataclass(frozen=True)
class Sidecars:
    """What is made of one label map, and where.

    Args:
        polygons: GeoPackage of its polygons; None is none, here and below.
        tolerance: By which they are simplified, map units.
        style: QGIS's style of the map.
        polygon_style: That of the polygons.
        statistics: CSV of the area of each class.
        zone_shares: CSV of the share of each class in each zone.
        zones: Vector file of the zones.
    """

    polygons: Path | None = None
    tolerance: float = 0.0
    style: Path | None = None
    polygon_style: Path | None = None
    statistics: Path | None = None
    zone_shares: Path | None = None
    zones: str | None = None

    @property
    def files(self) -> list[Path]:
        """Those that are written."""
        every = self.polygons, self.style, self.polygon_style, self.statistics, self.zone_shares
        return [path for path in every if path is not None]


def plan_sidecars(
    label_map: str | Path,
    *,
    polygons: str | None = None,
    tolerance: float | None = None,
    style: bool = False,
    statistics: bool = False,
    zones: str | None = None,
    folder: str | Path | None = None,
) -> Sidecars:
    """Name the files that are made of a label map, after it.

    Args:
        label_map: The map, which need not be there yet.
        polygons: GeoPackage to write; ``''`` is ``*_polygons.gpkg``, None is none.
        tolerance: By which polygons are simplified, map units.
        style: Whether to write ``*.qml``, of polygons too.
        statistics: Whether to write ``*_classes.csv``.
        zones: Vector file of zones, whose shares go into ``*_zones.csv``.
        folder: Where to write; None is beside the map.

    Raises:
        FileNotFoundError: If there are no such zones.
        OSError: If a place cannot be written to.
        ValueError: If a library is not installed, the zones cannot be used, or the words
            contradict each other.
    """
    path = Path(label_map) if folder is None else Path(folder) / Path(label_map).name
    if polygons is None and tolerance is not None:
        raise ValueError('--simplify is by how much polygons are simplified: give --polygons too.')
    layer = None if polygons is None else Path(polygons or f'{path.with_suffix("")}_polygons.gpkg')
    if layer is not None:
        if layer.suffix.lower() != ENDING:
            raise ValueError(
                f'--polygons got {layer}: give the name of a GeoPackage, ending in {ENDING}, or '
                'none for one beside the map.'
            )
        check_library()
        refuse_odd_name(layer)
        check_tolerance(tolerance or 0.0)
        if style and layer.with_suffix('') == path.with_suffix(''):
            raise ValueError(
                f'--polygons {layer} has the name of the map, so that {layer.with_suffix(".qml")} '
                'would be the style of both: give another name, or leave --style out.'
            )
    if zones is not None:
        read_features(zones)  # before anything is predicted
    planned = Sidecars(
        polygons=layer,
        tolerance=tolerance or 0.0,
        style=path.with_suffix('.qml') if style else None,
        polygon_style=layer.with_suffix('.qml') if style and layer is not None else None,
        statistics=path.with_name(f'{path.stem}_classes.csv') if statistics else None,
        zone_shares=path.with_name(f'{path.stem}_zones.csv') if zones is not None else None,
        zones=zones,
    )
    for file in planned.files:
        prepare_place(file)
    return planned


def write_sidecars(label_map: str | Path, planned: Sidecars) -> list[str]:
    """Write what is made of a label map.

    Args:
        label_map: The map.
        planned: From :func:`plan_sidecars`.

    Returns:
        A line for each file.

    Raises:
        FileNotFoundError: If there is no such map.
        OSError: If a file cannot be written.
        ValueError: If it is no label map, or the zones do not fit.
    """
    if not planned.files:
        return []
    source = open_label_map(label_map)
    said = {}
    if planned.style is not None:
        write_text(planned.style, raster_style(source.classes))
    if planned.statistics is not None:
        write_statistics(planned.statistics, source)
    if planned.polygons is not None:
        count = write_polygons(planned.polygons, source, planned.tolerance)
        said[planned.polygons] = f': {count:,} polygons'
    if planned.polygon_style is not None:
        write_text(planned.polygon_style, polygon_style(source.classes))
    if planned.zones is not None:  # which may lie elsewhere: the others are written by then
        count = write_zones(planned.zone_shares, source, planned.zones)
        said[planned.zone_shares] = f': {count:,} zones'
    return [f'{path}{said.get(path, "")}' for path in planned.files]


def sidecar_options(args: argparse.Namespace, num_maps: int) -> dict[str, Any]:
    """Give the options of :func:`plan_sidecars` that a command has got.

    Args:
        args: With what :func:`mobanet_cli.arguments.add_sidecars` adds.
        num_maps: Number of label maps.

    Raises:
        ValueError: If several maps would have one file.
    """
    if args.polygons and num_maps > 1:
        raise ValueError(
            f'--polygons {args.polygons} is the name for one map, but {num_maps} came: leave it '
            'out, for *_polygons.gpkg beside each.'
        )
    return {
        'polygons': args.polygons,
        'tolerance': args.simplify,
        'style': args.style,
        'statistics': args.statistics,
        'zones': args.zones,
    }


def refuse_twice(paths: Sequence[Path]) -> None:
    """Refuse files of several maps that have one name.

    Args:
        paths: All that is written.

    Raises:
        ValueError: If one is there twice.
    """
    counts = Counter(path.resolve() for path in paths)
    twice = [path for path, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f'{twice[0]} would be written twice, for two maps: give them different names, or write '
            'to different folders.'
        )


def vectorize(args: argparse.Namespace) -> None:
    """Write what is made of label maps, and say so.

    Args:
        args: What tools/analysis_tools/vectorize.py was told.

    Raises:
        FileNotFoundError: If a map or the zones are missing.
        OSError: If a file cannot be written.
        ValueError: If nothing is asked for, a file is no label map, the zones do not fit, or a file
            would be written twice or over what is read.
    """
    options = sidecar_options(args, len(args.maps))
    planned = [plan_sidecars(path, **options, folder=args.out) for path in args.maps]
    written = [file for each in planned for file in each.files]
    if not written:
        raise ValueError(
            'Nothing is asked for: give --polygons, --style, --statistics or --zones FILE.'
        )
    refuse_twice(written)
    check_outputs(written, [*files_behind(*args.maps), *([args.zones] if args.zones else [])])
    for path, each in zip(args.maps, planned, strict=True):
        for line in write_sidecars(path, each):
            print(line, flush=True)
