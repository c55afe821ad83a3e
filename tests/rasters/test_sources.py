import gzip
import os
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import rasterio.shutil
from scenes.rasters import write_raster

from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.sources import check_alike, check_unchanged, files_behind, stamps


@pytest.fixture
def tile(tmp_path):
    return write_raster(tmp_path / 'tile.tif', np.ones((2, 3, 3), np.uint8))


def named(paths):
    return sorted(path.name for path in paths)


def write_vrt(path, source, like):
    """Write a VRT of one source, by any name that GDAL knows."""
    rasterio.shutil.copy(like, path, driver='VRT')
    text = path.read_text()
    path.write_text(text.replace(f'relativeToVRT="1">{like.name}', f'relativeToVRT="0">{source}'))
    return path


def test_a_raster_and_what_lies_beside_it(tile):
    with rasterio.open(tile, 'r+') as raster:
        raster.build_overviews([2])
    tile.with_suffix('.tif.aux.xml').write_text('<PAMDataset></PAMDataset>')
    tile.with_name('other.txt').touch()
    assert named(files_behind(tile)) == ['tile.tif', 'tile.tif.aux.xml']
    assert files_behind(None, tile.with_name('gone.tif')) == []


def test_the_sources_of_a_vrt_of_vrts_and_of_one_in_the_text_of_another(tile, tmp_path):
    one = write_vrt(tmp_path / 'one.vrt', tile, tile)
    two = write_vrt(tmp_path / 'two.vrt', one, tile)
    inner = one.read_text().replace('<', '&lt;')
    three = write_vrt(tmp_path / 'three.vrt', inner, tile)
    assert named(files_behind(two)) == ['one.vrt', 'tile.tif', 'two.vrt']
    assert named(files_behind(three)) == ['three.vrt', 'tile.tif']


@pytest.mark.parametrize('name', ['GTIFF_DIR:1:{}', 'vrt://{}?bands=1,2,3'])
def test_the_file_in_a_longer_name(tile, name):
    vrt = write_vrt(tile.with_name('a.vrt'), name.format(tile), tile)
    assert named(files_behind(vrt)) == ['a.vrt', 'tile.tif']
    assert named(files_behind(name.format(tile))) == ['tile.tif']


def test_the_archive_around_a_raster(tile, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / 'tiles.zip', 'w') as archive:
        archive.write(tile, 'a/tile.tif')
    vrt = write_vrt(tmp_path / 'a.vrt', f'/vsizip/{tmp_path}/tiles.zip/a/tile.tif', tile)
    monkeypatch.chdir(tmp_path)
    assert named(files_behind(vrt)) == ['a.vrt', 'tiles.zip']
    assert named(files_behind('zip://tiles.zip!a/tile.tif')) == ['tiles.zip']


def test_vrts_that_name_each_other_end(tile, tmp_path):
    one = write_vrt(tmp_path / 'one.vrt', tmp_path / 'two.vrt', tile)
    write_vrt(tmp_path / 'two.vrt', one, tile)
    assert named(files_behind(one)) == ['one.vrt', 'two.vrt']


def test_a_file_that_is_no_raster_stands_for_itself(tmp_path):
    path = tmp_path / 'pairs.csv'
    path.write_text('rgb,aux\n')
    assert files_behind(path) == [path]
    assert os.fspath(path) not in files_behind('https://127.0.0.1:9/a.tif')


def replace_keeping_time_and_size(tile):
    stat = tile.stat()
    other = tile.with_name('other.tif')
    other.write_bytes(tile.read_bytes())
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(tile)


def touch(tile):
    os.utime(tile, ns=(0, 1))


def append(tile):
    stat = tile.stat()
    with tile.open('ab') as file:
        file.write(b'0')
    os.utime(tile, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    'change', [replace_keeping_time_and_size, touch, append, lambda tile: tile.unlink()]
)
def test_a_file_that_changes_is_named_a_source_of_a_vrt_too(tile, tmp_path, change):
    vrt = write_vrt(tmp_path / 'a.vrt', tile, tile)
    noted = stamps(tile), stamps(None, vrt)
    for each in noted:
        check_unchanged(each)
    change(tile)
    for each in noted:
        with pytest.raises(ValueError, match=r'tile\.tif has changed while it was read'):
            check_unchanged(each)


def test_statistics_and_overviews_beside_a_raster_change_nothing(tile):
    for ending in ('.aux.xml', '.ovr'):
        tile.with_name(f'{tile.name}{ending}').write_text('<PAMDataset></PAMDataset>')
    noted = stamps(tile)
    for ending in ('.aux.xml', '.ovr'):
        tile.with_name(f'{tile.name}{ending}').unlink()
    check_unchanged(noted)


def test_another_machine_has_other_inodes_and_the_same_times(tile):
    noted = {tile: (100, 5, 7)}
    check_alike(noted, {tile: (100, 5, 8), tile.with_name('other.tif'): (1, 1, 1)})
    for other in ((101, 5, 7), (100, 6, 7)):
        with pytest.raises(ValueError, match=r'tile\.tif has changed'):
            check_alike(noted, {tile: other})


@pytest.fixture
def site():
    """Give an address and what is asked of it."""
    asked = []

    class Note(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def do_HEAD(self):
            self.do_GET()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(('127.0.0.1', 0), Note)
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}', asked
    server.shutdown()
    thread.join()
    server.server_close()


WMS = '<GDAL_WMS><Service name="TMS"><ServerUrl>{}/${{z}}.png</ServerUrl></Service></GDAL_WMS>'
WCS = '<WCS_GDAL><ServiceURL>{}/wcs?</ServiceURL><CoverageName>a</CoverageName></WCS_GDAL>'
STAC = '{{"stac_version": "1.0.0", "features": [{{"assets": {{"a": {{"href": "{}/a.tif"}}}}}}]}}'


@pytest.mark.parametrize('prefix', ['/vsicurl/', '', '/vsizip//vsicurl/', 'vrt:///vsicurl/'])
def test_addresses_in_a_vrt_and_in_one_of_its_sources_are_not_fetched(tile, site, prefix):
    root, asked = site
    one = write_vrt(tile.with_name('one.vrt'), f'{prefix}{root}/a.tif', tile)
    two = write_vrt(tile.with_name('two.tif'), one, tile)
    with zipfile.ZipFile(tile.with_name('a.zip'), 'w') as archive:
        archive.write(one, 'one.vrt')
    zipped = f'/vsizip/{tile.parent}/a.zip/one.vrt'
    three = write_vrt(tile.with_name('three.vrt'), zipped, tile)
    for raster in (one, two, three, zipped):
        with pytest.raises(ValueError, match=r"names '.*127\.0\.0\.1.*not fetched: give that"):
            read_info(raster)
    assert not asked


def pack(path, file, name):
    """Put a file into an archive."""
    if '.tar' in path.name:
        with tarfile.open(path, 'w:gz' if path.suffix == '.gz' else 'w') as archive:
            archive.add(file, name)
    elif path.suffix == '.gz':
        path.write_bytes(gzip.compress(file.read_bytes()))
    else:
        with zipfile.ZipFile(path, 'w') as archive:
            archive.write(file, name)
            archive.writestr(name, 'GDAL reads the first one of a name')


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize(
    ('name', 'archive', 'inside'),
    [
        ('/vsitar/{}/one.vrt', 'a.tar', 'one.vrt'),
        ('tar://{}!one.vrt', 'a.tar.gz', './one.vrt'),
        ('/vsitar/{}', 'a.tar', 'one.vrt'),
        ('/vsigzip/{}', 'one.vrt.gz', ''),
        ('/vsizip/{}/d/one.vrt', 'a.zip', './d/one.vrt'),
        ('/vsizip/{}/one.vrt', 'we!/a.zip', 'one.vrt'),
        ('/vsisubfile/0,{}', 'one.vrt', ''),
        ('/vsizip/{{/vsizip/{}/a.zip}}/one.vrt', 'b.zip', 'a.zip'),
    ],
)
def test_no_way_to_a_text_leads_past_the_look_at_its_addresses(tile, site, name, archive, inside):
    root, asked = site
    one, packed = write_vrt(tile.with_name('one.vrt'), f'{root}/a.tif', tile), tile.parent / archive
    packed.parent.mkdir(exist_ok=True)
    if packed != one:
        if inside == 'a.zip':
            pack(tile.with_name(inside), one, 'one.vrt')
            one = tile.with_name(inside)
        pack(packed, one, inside)
    name = name.format(packed)
    for raster in (name, write_vrt(tile.with_name('two.vrt'), name, tile)):
        with pytest.raises((ValueError, FileNotFoundError), match='unpack|not fetched|not exist'):
            read_info(raster)
    assert not asked


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_pixels_are_read_wherever_gdal_finds_them(tile):
    pack(tile.with_name('a.tar'), tile, 'tile.tif')
    names = (f'/vsitar/{tile.parent}/a.tar/tile.tif', f'/vsisubfile/0,{tile}')
    for name in names:
        assert read_info(name).count == 3
    tile.with_name('b.txt').write_text('no raster')
    pack(tile.with_name('b.zip'), tile.with_name('b.txt'), 'b.tif')
    with pytest.raises(ValueError, match='cannot be read as a raster .GDAL says'):
        read_info(f'/vsizip/{tile.parent}/b.zip/b.tif')


@pytest.mark.parametrize('text', [WMS, WCS, STAC, WCS + '\0'])
def test_no_other_text_fetches_an_address(tmp_path, site, text):
    root, asked = site
    (tmp_path / 'a.tif').write_text(text.format(root))
    with pytest.raises(ValueError, match='is not fetched'):
        read_info(tmp_path / 'a.tif')
    assert not asked


def test_an_address_that_is_told_and_not_read_is_no_harm(tile):
    vrt = write_vrt(tile.with_name('a.vrt'), tile, tile)
    note = '<Metadata><MDI key="MADE_BY">https://qgis.org</MDI></Metadata>'
    vrt.write_text(vrt.read_text().replace('<Metadata>', f'{note}<Metadata>', 1))
    assert 'qgis.org' in vrt.read_text() and read_info(vrt).count == 3
