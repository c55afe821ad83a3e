import os
import zipfile

import numpy as np
import pytest
import rasterio.shutil
from scenes.rasters import write_raster

from mobanet_mmseg.rasters.sources import files_behind


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
