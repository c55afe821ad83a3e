"""Whether two rasters of a tile lie in the same place, by their headers."""

import json
import math

from rasterio.crs import CRS

from mobanet_mmseg.rasters.files import RasterInfo

# A file that names its pixels' corners where another names their centres is half a pixel off.
MAX_OFFSET = 0.5
SLACK = 0.01  # pixels: transforms are rounded


def check_place(info: RasterInfo, reference: RasterInfo) -> None:
    """Refuse two rasters of one tile that say they lie in different places.

    What a raster does not say (a CRS, a transform) is not compared. Vertical parts of a CRS are
    left out.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.

    Raises:
        ValueError: If both have a CRS and it differs, or both have a transform and a corner lies
            more than ``MAX_OFFSET`` pixels off.
    """
    found = find_misplacement(info, reference)
    if found:
        raise ValueError(
            f"{found}: give the raster of the same tile, warp it onto the other's grid, or set "
            'check_place=False in the dataset if the pixels fit all the same.'
        )


def find_misplacement(info: RasterInfo, reference: RasterInfo) -> str | None:
    """Say in what way two rasters of one tile contradict each other about their place.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.

    Returns:
        What :func:`check_place` refuses; None if they fit, or do not say.
    """
    crs, other = horizontal_crs(info.crs), horizontal_crs(reference.crs)
    if crs is not None and other is not None and crs != other:
        return f'{info.path} is in {crs_name(crs)} and {reference.path} in {crs_name(other)}'
    offset = max_offset(info, reference)
    if offset is not None and offset > MAX_OFFSET + SLACK:
        return (
            f'{info.path} lies {offset:.4g} pixels beside {reference.path} by their transforms, '
            f'and {MAX_OFFSET} are allowed'
        )
    return None


def horizontal_crs(crs: CRS | None) -> CRS | None:
    """The part of a CRS that says where a pixel lies on the map; None if it does not say.

    Args:
        crs: Of a raster's header.
    """
    if not crs:
        return None
    parts = crs.to_dict(projjson=True)
    kind = parts.get('type')
    if kind == 'EngineeringCRS':  # 'LOCAL_CS': a grid of its own, no place
        return None
    if kind == 'CompoundCRS':
        return CRS.from_string(json.dumps(parts['components'][0]))
    return crs


def crs_name(crs: CRS | None) -> str:
    """Name a CRS in a few words.

    Args:
        crs: Of a raster's header.
    """
    if not crs:
        return 'no CRS'
    code = crs.to_epsg()
    return f'EPSG:{code}' if code else crs.to_dict(projjson=True).get('name', 'a custom CRS')


def max_offset(info: RasterInfo, reference: RasterInfo) -> float | None:
    """How far a raster's pixels lie from the same pixels of its reference, at the worst corner.

    Args:
        info: Header of the raster that is to fit.
        reference: Header of the raster that it is to fit on.

    Returns:
        Pixels of the reference; None if either has no transform.
    """
    if info.transform.is_identity or reference.transform.is_identity:
        return None
    height, width = min(info.height, reference.height), min(info.width, reference.width)
    across = ~reference.transform * info.transform
    corners = [(col, row) for col in (0, width) for row in (0, height)]
    return max(math.dist(across * corner, corner) for corner in corners)
