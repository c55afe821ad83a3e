import sys

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.transform import Affine
from scenes.label_maps import METRES, UTM, YARD, read_layer, write_label_map

from mobanet_mmseg.rasters.label_maps import PIXEL_UNITS, open_label_map
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.vectors.areas import Areas
from mobanet_mmseg.vectors.geopackage import write_polygons

TURNED = Affine(0.3, 0.4, 366_000, 0.4, -0.3, 5_808_000)


def write(folder, tolerance=0.0, **options):
    label_map = open_label_map(write_label_map(folder / 'map.tif', **options))
    count = write_polygons(folder / 'map_polygons.gpkg', label_map, tolerance)
    meta, polygons, columns = read_layer(folder / 'map_polygons.gpkg')
    assert count == len(polygons)
    return label_map, meta, polygons, columns


def test_polygons_have_class_name_area_and_holes(tmp_path):
    _, meta, polygons, columns = write(tmp_path)
    rows = sorted(zip(*(columns[key] for key in ('class', 'name', 'area')), strict=True))
    assert rows == [
        (0, 'ground', 20 * 0.25), (1, 'house', 0.25), (1, 'house', 8 * 0.25), (2, 'pond', 0.25),
    ]  # fmt: skip
    assert CRS.from_string(meta['crs']) == UTM
    assert (meta['name'], meta['kind']) == ('map_polygons', 'Polygon')
    assert meta['metadata'] == {'area': 'square metre'}
    yard = polygons[np.argmax(columns['area'] * (columns['class'] == 1))]
    assert yard.bounds == (366_000.5, 5_807_998, 366_002, 5_807_999.5)
    assert [hole.length for hole in yard.interiors] == [2.0]


@pytest.mark.parametrize(
    ('transform', 'crs'),
    [
        (TURNED, UTM),
        (METRES, None),
        (Affine.identity(), None),
        (Affine(0.5, 0, 0, 0, 0.5, 0), UTM),  # south up
        (Affine(1e-5, 0, 13, 0, -1e-5, 52), CRS.from_epsg(4326)),
        (Affine(6e-6, 8e-6, 13, 8e-6, -6e-6, 52), CRS.from_epsg(4326)),
    ],
)
def test_polygons_lie_on_their_pixels_and_have_their_area(tmp_path, transform, crs):
    label_map, _, polygons, columns = write(tmp_path, transform=transform, crs=crs)
    placed = PIXEL_UNITS if transform.is_identity else transform
    drawn = rasterize(
        zip(polygons, columns['class'].tolist(), strict=True), YARD.shape, 255, transform=placed
    )
    np.testing.assert_array_equal(drawn, YARD)
    pixels = Areas(label_map.grid).of_pixels(Window(0, 0, *YARD.shape))
    for label in range(3):
        area = np.broadcast_to(pixels, YARD.shape)[label == YARD].sum()
        assert columns['area'][columns['class'] == label].sum() == pytest.approx(area)


def test_tolerance_is_in_map_units(tmp_path):
    rows, cols = np.mgrid[:40, :60]
    labels = (cols > rows + 5).astype(np.uint8)
    corners = []
    for tolerance in (0, 0.2, 1):  # steps are triangles of 0.125 square metres: 0.35 ** 2
        _, _, polygons, _ = write(tmp_path, tolerance, labels=labels)
        corners.append(sum(len(polygon.exterior.coords) for polygon in polygons))
    assert corners[0] == corners[1] > 10 * corners[2]


def test_a_map_of_nothing_gives_an_empty_layer(tmp_path):
    _, meta, polygons, _ = write(tmp_path, labels=np.full_like(YARD, 255))
    assert len(polygons) == 0
    assert meta['fields'].tolist() == ['class', 'name', 'area']


def test_without_the_libraries_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    label_map = open_label_map(write_label_map(tmp_path / 'map.tif'))
    monkeypatch.setitem(sys.modules, 'shapely', None)
    with pytest.raises(ValueError, match=r"pip install -e '.*\[vector\]'"):
        write_polygons(tmp_path / 'map.gpkg', label_map)
    assert not (tmp_path / 'map.gpkg').exists()


@pytest.mark.parametrize('tolerance', [-1, float('nan'), float('inf')])
def test_a_tolerance_that_is_none_is_refused(tmp_path, tolerance):
    with pytest.raises(ValueError, match='give 0 or more, in map units'):
        write(tmp_path, tolerance)


def test_an_error_leaves_nothing(tmp_path, monkeypatch):
    label_map = open_label_map(write_label_map(tmp_path / 'map.tif'))
    (tmp_path / 'map.gpkg').write_text('older')
    monkeypatch.setattr(type(label_map), 'read', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_polygons(tmp_path / 'map.gpkg', label_map)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['map.gpkg', 'map.tif']
    assert (tmp_path / 'map.gpkg').read_text() == 'older'
