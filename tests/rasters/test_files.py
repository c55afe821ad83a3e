import gzip
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scenes.limits import no_root
from scenes.rasters import write_raster

from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.ranges import aux_ranges
from mobanet_mmseg.rasters.windows import read_window


def test_a_raster_that_may_not_be_read_is_named(open_folder):
    path = write_raster(open_folder / 'a.tif', np.zeros((4, 5), np.uint8))
    path.chmod(0)
    with no_root(), pytest.raises(ValueError, match=r'a\.tif may not be read: give yourself the'):
        read_info(path)


def test_a_folder_that_may_not_be_entered_is_named(open_folder):
    path = write_raster(open_folder / 'shut' / 'a.tif', np.zeros((4, 5), np.uint8))
    path.parent.chmod(0)
    with no_root(), pytest.raises(ValueError, match=r'shut/a\.tif may not be read: give yourself'):
        read_info(path)


PIXELS = np.arange(20, dtype=np.uint8).reshape(4, 5)


@pytest.mark.parametrize(
    'name',
    [
        '/vsizip/{}/a.zip/in/a.tif',
        '/vsizip/{{{}/a.zip}}/in/a.tif',
        'zip://{}/a.zip!in/a.tif',
        'zip://{}/a.zip!/in/a.tif',
        '/vsitar/{}/a.tar/a.tif',
        'tar://{}/a.tar!a.tif',
        '/vsigzip/{}/a.tif.gz',
        '{}/a[1] {{x}}.tif',
    ],
)
@pytest.mark.parametrize('kind', [str, Path])
def test_a_raster_is_read_where_it_lies(tmp_path, name, kind, monkeypatch):
    source = write_raster(tmp_path / 'a.tif', PIXELS)
    (tmp_path / 'a[1] {x}.tif').write_bytes(source.read_bytes())
    (tmp_path / 'a.tif.gz').write_bytes(gzip.compress(source.read_bytes()))
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.write(source, 'in/a.tif')
    with tarfile.open(tmp_path / 'a.tar', 'w') as archive:
        archive.add(source, 'a.tif')
    monkeypatch.chdir(tmp_path)
    for folder in (str(tmp_path), '.'):
        path = kind(name.format(folder))
        np.testing.assert_array_equal(read_window(path, (1,))[..., 0], PIXELS)
        assert aux_ranges([path], (1,), 'tile')[0][:2] == ((0,), (19,))


def test_an_archive_that_was_written_again_is_another_one(tmp_path):
    path = f'/vsizip/{tmp_path}/a.zip/a.tif'
    for pixels in (PIXELS, np.tile(PIXELS + 1, (2, 3))):
        with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
            archive.write(write_raster(tmp_path / 'a.tif', pixels), 'a.tif')
        assert (read_info(path).height, read_info(path).width) == pixels.shape


@pytest.mark.parametrize('name', ['/vsizip/{}/no.zip/a.tif', 'zip://{}/no.zip!a.tif'])
def test_an_archive_that_is_missing_is_named(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=r'no\.zip/a\.tif does not exist'):
        read_info(name.format(tmp_path))
