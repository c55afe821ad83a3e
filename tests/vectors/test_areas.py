import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin

from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.label_maps import PIXEL_UNITS
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.vectors.areas import Areas

DEGREES = CRS.from_epsg(4326)
EARTH = 510_065_621_724_078.94  # m^2, of the WGS 84 ellipsoid
TURNED = Affine(0.3, 0.4, 10, 0.4, -0.3, 50)


def areas_of(shape, transform, crs):
    return Areas(RasterInfo('', *shape, 1, ('uint8',), crs, transform, (255,)))


@pytest.mark.parametrize(
    ('crs', 'transform', 'unit', 'area'),
    [
        (CRS.from_epsg(32633), Affine(0.5, 0, 0, 0, -0.2, 0), 'square metre', 0.1),
        (CRS.from_epsg(32633), TURNED, 'square metre', 0.25),
        (CRS.from_epsg(2263), Affine(2, 0, 0, 0, -3, 0), 'square US survey foot', 6),
        (None, Affine(2, 0, 0, 0, -3, 0), 'square map unit', 6),
        (None, PIXEL_UNITS, 'pixel', 1),
    ],
)
def test_area_is_in_the_map_s_own_unit(crs, transform, unit, area):
    areas = areas_of((2, 3), transform, crs)
    assert areas.unit == unit
    assert areas.of_pixels(Window(0, 0, 2, 3)) == pytest.approx(np.full((1, 1), area))


def test_degrees_have_the_area_that_they_have_on_the_ellipsoid():
    areas = areas_of((18, 36), from_origin(-180, 90, 10, 10), DEGREES)
    rows = areas.of_pixels(Window(0, 0, 18, 36))
    assert areas.unit == 'square metre'
    assert rows.shape == (18, 1)
    assert 36 * rows.sum() == pytest.approx(EARTH, rel=1e-12)
    np.testing.assert_allclose(rows, rows[::-1])
    np.testing.assert_allclose(areas.of_pixels(Window(4, 9, 3, 2)), rows[4:7])


def test_a_sphere_has_the_area_of_a_sphere():
    crs = CRS.from_string('+proj=longlat +R=6371000')
    rows = areas_of((18, 36), from_origin(-180, 90, 10, 10), crs).of_pixels(Window(0, 0, 18, 36))
    assert 36 * rows.sum() == pytest.approx(4 * np.pi * 6_371_000**2)


def test_grads_are_other_angles():
    grads = areas_of((2, 2), from_origin(0, 2, 1, 1), CRS.from_epsg(4807))
    degrees = areas_of(
        (2, 2), from_origin(0, 1.8, 0.9, 0.9), CRS.from_string('+proj=longlat +ellps=clrk80ign')
    )
    window = Window(0, 0, 2, 2)
    np.testing.assert_allclose(grads.of_pixels(window), degrees.of_pixels(window))


@pytest.mark.parametrize('crs', [DEGREES, CRS.from_epsg(32633)])
@pytest.mark.parametrize('transform', [TURNED, Affine(0.5, 0, 10, 0, -0.5, 50)])
def test_polygons_have_the_area_of_their_pixels(crs, transform):
    shapely = pytest.importorskip('shapely', reason='the extra "vector" is not installed')
    areas = areas_of((4, 6), transform, crs)
    pixels = np.broadcast_to(areas.of_pixels(Window(1, 2, 3, 4)), (3, 4))
    each = np.array([shapely.box(c, r, c + 1, r + 1) for r in (1, 2, 3) for c in (2, 3, 4, 5)])
    np.testing.assert_allclose(areas.of_polygons(each), pixels.ravel(), rtol=1e-9)


def test_areas_are_those_of_another_library():
    geodesic = pytest.importorskip('pyproj').Geod(ellps='WGS84')
    areas = areas_of((1, 1), from_origin(13, 52.4, 0.001, 0.001), DEGREES)
    box = [13, 13.001, 13.001, 13], [52.399, 52.399, 52.4, 52.4]
    expected, _ = geodesic.polygon_area_perimeter(*box)
    assert areas.of_pixels(Window(0, 0, 1, 1)).item() == pytest.approx(expected, rel=1e-6)
