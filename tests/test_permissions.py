"""Files that may not be read, places that may not be written to, disks that are full."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from scenes.archives import write_potsdam_folders
from scenes.limits import no_root, short_disk
from scenes.pairs import SMALL, heights, optical
from scenes.rasters import write_raster

from mobanet_mmseg.conversion import isprs, raster_pair
from mobanet_mmseg.conversion.raster_pair import RasterPair
from mobanet_mmseg.rasters.windows import read_info


@pytest.fixture
def folder():
    """A folder that every user may enter; those of pytest are root's alone if root runs it."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_a_raster_that_may_not_be_read_is_named(folder):
    path = write_raster(folder / 'a.tif', np.zeros((4, 5), np.uint8))
    path.chmod(0)
    with no_root(), pytest.raises(ValueError, match=r'a\.tif may not be read: give yourself the'):
        read_info(path)


def test_a_folder_that_may_not_be_entered_is_named(folder):
    path = write_raster(folder / 'shut' / 'a.tif', np.zeros((4, 5), np.uint8))
    path.parent.chmod(0)
    with no_root(), pytest.raises(ValueError, match=r'shut/a\.tif may not be read: give yourself'):
        read_info(path)


def test_a_dataset_in_a_folder_that_may_not_be_entered_says_so(folder):
    dataset = {
        'type': 'MultimodalSegDataset',
        'data_root': str(folder),
        'data_prefix': {'img_path': 'shut', 'aux_path': 'shut'},
        'metainfo': {'classes': ('a', 'b'), 'palette': [[0, 0, 0], [1, 1, 1]]},
        'ann_file': 'test.txt',
        'test_mode': True,
        'pipeline': [],
    }
    write_raster(folder / 'shut' / 'a.tif', np.zeros((4, 5), np.uint8))
    (folder / 'test.txt').write_text('a')
    (folder / 'shut').chmod(0)
    with no_root(), pytest.raises(OSError, match=r'shut/a\.tif \(its folder may not be entered\)'):
        DATASETS.build(dataset)


def test_the_conversion_of_an_archive_names_a_place_without_permission(folder):
    write_potsdam_folders(folder / 'archive')
    (folder / 'out').mkdir()
    (folder / 'out').chmod(0o500)
    with no_root(), pytest.raises(OSError, match=r'out could not be written .*[Pp]ermission'):
        isprs.convert('potsdam', folder / 'archive', folder / 'out')
    assert list((folder / 'out').iterdir()) == []


def test_the_conversion_of_own_rasters_names_a_place_without_permission(folder):
    pair = RasterPair(optical(folder), heights(folder))
    (folder / 'in').mkdir()
    (folder / 'in').chmod(0o500)
    with no_root(), pytest.raises(OSError, match=r'out could not be written .*[Pp]ermission'):
        raster_pair.convert(pair, folder / 'in' / 'out', SMALL)
    assert list((folder / 'in').iterdir()) == []


@pytest.mark.parametrize('size', [100, 1000])
def test_the_conversion_of_own_rasters_names_a_full_disk_and_leaves_nothing(folder, size):
    pair = RasterPair(optical(folder), heights(folder))
    before = {path.name for path in folder.iterdir()}
    with short_disk(size), pytest.raises(OSError, match=r'could not be written .*free space'):
        raster_pair.convert(pair, folder / 'out', SMALL)
    assert {path.name for path in folder.iterdir()} == before
