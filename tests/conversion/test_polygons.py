import http.server
import json
import sys
import threading
import zipfile

import numpy as np
import pytest
from rasterio.transform import Affine
from scenes.pairs import EAST, NORTH, SHAPE, optical, square, write_polygons
from scenes.rasters import write_raster

from mobanet_mmseg.conversion.labels import one_class, parse_codes
from mobanet_mmseg.conversion.polygons import PolygonLabels
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.tiling.windows import Window
from mobanet_mmseg.vectors.files import is_vector, read_features

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


def copied(path, out, layer=None):
    """Copy the polygons of a GeoJSON into another format, or into one more layer of a file."""
    raw = pytest.importorskip('pyogrio.raw', reason='the extra "vector" is not installed')
    meta, _, shapes, columns = raw.read(path)
    fields = dict(fields=meta['fields'], geometry_type='Polygon', crs='EPSG:32633')
    raw.write(out, shapes, columns, layer=layer, append=out.exists(), **fields)
    return out


def test_a_geopackage_gives_what_its_geojson_gives(tmp_path):
    path = write_polygons(tmp_path, (square(3, 2, 33, 24), dict(kind='a')))
    package = str(copied(path, tmp_path / 'label.gpkg'))
    drawn = [polygons(tmp_path, p, background='x').read(WHOLE) for p in (path, package)]
    np.testing.assert_array_equal(*drawn)
    assert {*np.unique(drawn)} == {0, 1}


def test_the_numbers_of_a_geopackage_s_features_are_an_attribute(tmp_path):
    features = [(square(3, 2, 33, 24), dict(kind=kind)) for kind in 'ab']
    path = copied(write_polygons(tmp_path, *features), tmp_path / 'label.gpkg')
    properties = [each for _, each in read_features(str(path))[0]]
    assert properties == [{'fid': 1, 'kind': 'a'}, {'fid': 2, 'kind': 'b'}]


def test_without_pyogrio_a_geopackage_is_refused_with_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'pyogrio', None)
    (tmp_path / 'label.gpkg').write_bytes(b'SQLite format 3\0')
    said = refused(tmp_path, str(tmp_path / 'label.gpkg'))
    assert 'pyogrio and shapely, which are not installed: pip install' in said


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


def feature(kind='Polygon', coordinates=None, properties=None):
    ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
    coordinates = [ring] if coordinates is None else coordinates
    geometry = {'type': kind, 'coordinates': coordinates}
    return {'type': 'Feature', 'properties': properties or {'kind': 'a'}, 'geometry': geometry}


def ring_with(place):
    return [[[0, 0], [1, 0], place, [0, 0]]]


@pytest.mark.parametrize(
    ('one', 'said'),
    [
        (feature(coordinates=ring_with([float('nan'), 1])), 'broken coordinates, first number 2'),
        (feature(coordinates=ring_with([1, float('inf')])), 'broken coordinates'),
        (feature(coordinates=ring_with([1, None])), 'broken coordinates'),
        (feature(coordinates=ring_with(['1', '2'])), 'broken coordinates'),
        (feature(coordinates=ring_with([1])), 'broken coordinates'),
        (feature(coordinates=ring_with(7)), 'broken coordinates'),
        (feature(coordinates={'a': 1}), 'broken coordinates'),
        (feature(coordinates='abcd'), 'broken coordinates'),
        (feature(coordinates=ring_with([1, 1])[0]), 'broken coordinates'),
        (feature('MultiPolygon'), 'broken coordinates'),
        (feature('MultiPolygon', [[]]), 'broken coordinates'),
        (feature(coordinates=[[]]), 'broken coordinates'),
        (feature('GeometryCollection'), 'holds GeometryCollection where polygons'),
        (feature('LineString'), 'holds LineString where polygons'),
        (feature(['Polygon']), r"holds \['Polygon'\] where polygons"),
        ({**feature(), 'geometry': [1]}, r'holds \[1\] where polygons'),
        ({**feature(), 'geometry': {'type': 'Polygon'}}, 'broken coordinates'),
        ({**feature(), 'properties': [1]}, 'cannot be read as a GeoJSON'),
        (7, 'cannot be read as a GeoJSON'),
    ],
)
def test_odd_geometry_is_one_sentence(tmp_path, one, said):
    content = {'type': 'FeatureCollection', 'features': [feature(), one]}
    (tmp_path / 'a.geojson').write_text(json.dumps(content))
    with pytest.raises(ValueError, match=said):
        read_features(str(tmp_path / 'a.geojson'))
    (tmp_path / 'a.geojson').write_text('[' * 100_000)
    with pytest.raises(ValueError, match='cannot be read as a GeoJSON'):
        read_features(str(tmp_path / 'a.geojson'))


def test_features_without_a_place_are_left_out(tmp_path):
    empty = [{**feature(), 'geometry': None}, feature(coordinates=[])]
    content = {'type': 'FeatureCollection', 'features': [*empty, feature()]}
    (tmp_path / 'a.geojson').write_text(json.dumps(content))
    assert len(read_features(str(tmp_path / 'a.geojson'))[0]) == 1


@pytest.mark.parametrize('code', ['utf-8', 'utf-8-sig', 'utf-16'])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, code):
    content = json.dumps({'type': 'FeatureCollection', 'features': [feature()]})
    (tmp_path / 'a.geojson').write_text(content, encoding=code)
    assert len(read_features(str(tmp_path / 'a.geojson'))[0]) == 1


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.gml', '<OGRWFSDataSource><URL>{}/wfs</URL></OGRWFSDataSource>'),
        ('a.gml', '<!-- -->\n<OGRWFSDataSource><URL>{}/wfs</URL></OGRWFSDataSource>'),
        (
            'a.shp',
            '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>{}/x.geojson</SrcDataSource>'
            '</OGRVRTLayer></OGRVRTDataSource>',
        ),
        ('a.gpkg', '<OGRWFSDataSource><URL>{}/wfs</URL></OGRWFSDataSource>'),
    ],
)
def test_no_text_that_stands_for_a_vector_file_is_asked(tmp_path, name, text):
    pytest.importorskip('pyogrio', reason='the extra "vector" is not installed')
    (tmp_path / name).write_text(text.format('http://127.0.0.1:9'))
    with pytest.raises(ValueError, match=r'is no \w+ file, by how it begins'):
        read_features(str(tmp_path / name))


def shapefile(tmp_path, path):
    copied(path, tmp_path / 'a.shp')
    return [tmp_path / f'a.{end}' for end in ('shp', 'shx', 'dbf', 'prj')]


def test_a_zipped_shapefile_is_read_where_it_lies(tmp_path):
    path = write_polygons(tmp_path, (square(3, 2, 33, 24), dict(kind='a')))
    files = shapefile(tmp_path, path)
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        for file in files:
            archive.write(file, f'deep/{file.name}')
    names = [path, f'{tmp_path}/a.zip', f'/vsizip/{tmp_path}/a.zip/deep/a.shp']
    drawn = [polygons(tmp_path, name, background='x').read(WHOLE) for name in names]
    assert all(map(is_vector, names)) and {*np.unique(drawn)} == {0, 1}
    assert (drawn == drawn[0]).all()
    with zipfile.ZipFile(tmp_path / 'a.zip', 'a') as archive:
        archive.write(path, 'b.geojson')
    with pytest.raises(ValueError, match=r'holds deep/a\.shp, b\.geojson where one vector file is'):
        read_features(str(tmp_path / 'a.zip'))
    assert len(read_features(f'/vsizip/{tmp_path}/a.zip/b.geojson')[0]) == 1


def test_a_geopackage_with_a_saved_style_has_one_layer(tmp_path):
    pyogrio = pytest.importorskip('pyogrio', reason='the extra "vector" is not installed')
    path = write_polygons(tmp_path, (square(3, 2, 33, 24), dict(kind='a')))
    package = copied(path, tmp_path / 'a.gpkg', 'roofs')
    style = dict(fields=['styleQML'], layer='layer_styles', geometry_type=None, append=True)
    pyogrio.raw.write(package, None, [np.array(['<qgis/>'], object)], **style)
    assert len(pyogrio.list_layers(package)) == 2 and len(read_features(str(package))[0]) == 1
    copied(path, package, 'trees')
    with pytest.raises(ValueError, match=r"has the layers \['roofs', 'trees'\] where one"):
        read_features(str(package))


def test_footprints_without_an_attribute_are_one_class(tmp_path):
    path = write_polygons(tmp_path, (square(3, 2, 33, 24), {}), (square(40, 2, 50, 9), dict(a=1)))
    for background, rest in ((None, 255), ('ground', 1)):
        codes = one_class('roof', background)
        labels = PolygonLabels(path, None, codes, read_info(optical(tmp_path)))
        labels.refuse_unknown([])
        expected = np.full(SHAPE, rest)
        expected[2:24, 3:33] = expected[2:9, 40:50] = 0
        np.testing.assert_array_equal(labels.read(WHOLE), expected)
        assert codes.classes.names == ('roof', *([background] if background else []))
    with pytest.raises(ValueError, match='give two names'):
        one_class('roof', 'roof')


@pytest.mark.parametrize('name', ['z;a.gpkg', 'we!/z.gpkg'])
def test_pyogrio_reads_the_file_that_was_looked_at(tmp_path, monkeypatch, name):
    pytest.importorskip('pyogrio', reason='the extra "vector" is not installed')
    monkeypatch.setattr('pyogrio.list_layers', lambda path: pytest.fail(f'opened {path}'))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b'SQLite format 3\0')
    with pytest.raises(ValueError, match='would lead pyogrio to another file'):
        read_features(str(tmp_path / name))


@pytest.mark.parametrize('folder', ['we!', '{a}'])
def test_an_archive_may_lie_in_an_odd_folder(tmp_path, folder):
    path = write_polygons(tmp_path, (square(3, 2, 33, 24), dict(kind='a')))
    (tmp_path / folder).mkdir()
    with zipfile.ZipFile(tmp_path / folder / 'a.zip', 'w') as archive:
        archive.write(path, 'a.geojson')
    assert len(read_features(f'{tmp_path}/{folder}/a.zip')[0]) == 1
