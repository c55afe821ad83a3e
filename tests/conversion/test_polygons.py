import http.server
import sys
import threading

import numpy as np
import pytest
from rasterio.transform import Affine
from scenes.pairs import EAST, NORTH, SHAPE, optical, square, write_polygons
from scenes.rasters import write_raster

from mobanet_mmseg.conversion.labels import parse_codes
from mobanet_mmseg.conversion.polygons import PolygonLabels
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.tiling.windows import Window

WHOLE = Window(0, 0, *SHAPE)


def polygons(tmp_path, path, pairs=('a=a',), background=None, attribute='kind'):
    codes = parse_codes('attribute', pairs, ['unclear'], background)
    return PolygonLabels(path, attribute, codes, read_info(optical(tmp_path)))


def refused(tmp_path, path, **options):
    with pytest.raises(ValueError) as error:
        polygons(tmp_path, path, **options).refuse_unknown([])
    assert '\n' not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('background', [None, 'ground'])
def test_polygons_are_drawn_to_the_pixel_and_later_ones_lie_above(tmp_path, background):
    path = write_polygons(
        tmp_path,
        (square(3, 2, 33, 24), dict(kind='roof')),
        (square(10, 5.4, 14.6, 9), dict(kind=2.0)),  # rows from 5, as centre 5.5 is inside
        (square(50, 30, 90, 90), dict(kind='unclear')),
    )
    labels = polygons(tmp_path, path, ['roof=roof', 'hole=2'], background)
    labels.refuse_unknown([])
    expected = np.full(SHAPE, 255 if background is None else 2)
    expected[2:24, 3:33] = 0
    expected[5:9, 10:15] = 1
    expected[30:, 50:] = 255
    np.testing.assert_array_equal(labels.read(WHOLE), expected)
    np.testing.assert_array_equal(labels.read(Window(4, 12, 3, 30)), expected[4:7, 12:42])
    np.testing.assert_array_equal(labels.read(Window(26, 0, 9, 20)), expected[26:35, :20])


def test_a_turned_grid_gets_its_polygons(tmp_path):
    grid = Affine(0.8, -0.6, EAST + 30, -0.6, -0.8, NORTH)
    rgb = write_raster(tmp_path / 'rgb.tif', np.ones((*SHAPE, 3), np.uint8), transform=grid)
    path = write_polygons(tmp_path, (square(5, 5, 25, 25), dict(kind='a')))
    codes = parse_codes('attribute', ['a=a'], background='rest')
    drawn = PolygonLabels(path, 'kind', codes, read_info(rgb)).read(Window(10, 5, 20, 40))
    rows, cols = np.mgrid[10:30, 5:45] + 0.5
    x, y = 30 + 0.8 * cols - 0.6 * rows, 0.6 * cols + 0.8 * rows
    inside = (x > 5) & (x < 25) & (y > 5) & (y < 25)
    np.testing.assert_array_equal(drawn, np.where(inside, 0, 1))


@pytest.mark.parametrize(
    ('crs', 'to'),
    [
        (None, 'EPSG:4326'),  # RFC 7946
        ('urn:ogc:def:crs:OGC:1.3:CRS84', 'EPSG:4326'),
        ('EPSG:25833', 'EPSG:25833'),
        ('http://www.opengis.net/def/crs/EPSG/0/25833', 'EPSG:25833'),
    ],
)
def test_geojson_is_in_degrees_unless_it_says_otherwise(tmp_path, crs, to):
    path = write_polygons(tmp_path, (square(10, 10, 30, 30), dict(kind='a')), crs=crs, to=to)
    expected = np.ones(SHAPE)
    expected[10:30, 10:30] = 0
    np.testing.assert_array_equal(polygons(tmp_path, path, background='x').read(WHOLE), expected)


def test_no_address_that_a_file_names_is_asked(tmp_path):
    asked = []

    class Noted(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Noted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = f'http://127.0.0.1:{server.server_port}/crs.wkt'
    path = write_polygons(tmp_path, (square(1, 1, 9, 9), dict(kind='a')), crs=name)
    assert 'is no name of a CRS such as EPSG:25832' in refused(tmp_path, path)
    server.shutdown()
    assert not asked


def test_a_geopackage_gives_what_its_geojson_gives(tmp_path):
    fiona = pytest.importorskip('fiona', reason='the extra "vector" is not installed')
    path = write_polygons(tmp_path, (square(3, 2, 33, 24), dict(kind='a')))
    package = str(tmp_path / 'label.gpkg')
    with (
        fiona.open(path) as source,
        fiona.open(package, 'w', driver='GPKG', schema=source.schema, crs='EPSG:32633') as copy,
    ):
        copy.writerecords(source)
    drawn = [polygons(tmp_path, p, background='x').read(WHOLE) for p in (path, package)]
    np.testing.assert_array_equal(*drawn)
    assert {*np.unique(drawn)} == {0, 1}


def test_without_fiona_a_geopackage_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'fiona', None)
    (tmp_path / 'label.gpkg').write_bytes(b'SQLite')
    said = refused(tmp_path, str(tmp_path / 'label.gpkg'))
    assert 'fiona, which is not installed: pip install "mobanet' in said


def test_polygons_that_cannot_be_used_are_refused(tmp_path):
    def sentence(*features, attribute='kind', **options):
        return refused(
            tmp_path, write_polygons(tmp_path, *features, **options), attribute=attribute
        )

    inside = square(1, 1, 9, 9)
    assert "no attribute 'kind'; it has ['type']" in sentence((inside, dict(type='a')))
    assert 'b (1 polygons)' in sentence((inside, dict(kind='b')))
    assert 'holds no polygon' in sentence()
    assert 'no overlap' in sentence((square(99, 0, 110, 9), dict(kind='a')))
    assert 'is in degrees' in sentence((inside, dict(kind='a')), crs=None)
    broken = square(1, 1, 9, 9)[:1], dict(kind='a')
    assert 'with broken coordinates, first number 2' in sentence((inside, dict(kind='a')), broken)
    (tmp_path / 'label.geojson').write_text('<html>')
    assert 'cannot be read as a GeoJSON' in refused(tmp_path, str(tmp_path / 'label.geojson'))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        polygons(tmp_path, str(tmp_path / 'none.geojson'))
