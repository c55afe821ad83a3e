"""A pair that cannot be converted is one sentence, and nothing stays."""

import runpy
import sys

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from scenes.limits import no_root, short_disk
from scenes.pairs import (
    SHAPE,
    SMALL,
    heights,
    labelled,
    labels,
    mosaic,
    optical,
    place,
    refused,
    square,
    write_polygons,
)
from scenes.paths import ROOT
from scenes.rasters import write_raster

from mobanet_mmseg.conversion.labels import parse_codes
from mobanet_mmseg.conversion.raster_pair import Cutting, RasterPair, convert


def test_a_crs_that_one_side_lacks_is_refused_on_either_side(tmp_path):
    bare, placed = optical(tmp_path, crs=None), heights(tmp_path)
    assert 'rgb.tif has no CRS and' in refused(tmp_path, RasterPair(bare, placed))
    placed, bare = optical(tmp_path), heights(tmp_path, crs=None)
    assert 'dsm.tif has no CRS and' in refused(tmp_path, RasterPair(placed, bare))


def test_rasters_of_one_plane_without_a_crs_are_converted(tmp_path):
    pair = RasterPair(optical(tmp_path, crs=None), heights(tmp_path, crs=None))
    convert(pair, tmp_path / 'out', SMALL)
    with rasterio.open(pair.aux) as raster:
        np.testing.assert_array_equal(mosaic(tmp_path / 'out', 'aux')[0], raster.read())


def test_a_raster_elsewhere_is_refused(tmp_path):
    dsm = heights(tmp_path, transform=place(60, 0))  # they touch
    assert 'have no overlap' in refused(tmp_path, RasterPair(optical(tmp_path), dsm))
    label = labels(tmp_path, np.ones((4, 4), np.uint8), place(0, 40))
    pair = RasterPair(optical(tmp_path), heights(tmp_path), label, parse_codes('value', ['a=1']))
    assert 'label.tif (left, bottom' in refused(tmp_path, pair)


def test_an_optical_raster_without_georeference_is_refused(tmp_path):
    rgb = write_raster(
        tmp_path / 'rgb.tif', np.ones((*SHAPE, 3), np.uint8), crs=None, transform=Affine.identity()
    )
    assert 'has no georeference' in refused(tmp_path, RasterPair(str(rgb), heights(tmp_path)))


def test_labels_and_what_is_said_of_them_must_be_of_one_kind(tmp_path):
    files = optical(tmp_path), heights(tmp_path)
    value, attribute = (parse_codes(kind, ['a=1']) for kind in ('value', 'attribute'))
    raster = labels(tmp_path, np.ones(SHAPE, np.uint8))
    assert 'is a raster: say what' in refused(tmp_path, RasterPair(*files, raster))
    assert 'is a raster' in refused(tmp_path, RasterPair(*files, raster, attribute, 'kind'))
    none = parse_codes('value', [], ['other'])
    assert 'has no class' in refused(tmp_path, RasterPair(*files, raster, none))
    vector = write_polygons(tmp_path, (square(0, 0, 9, 9), dict(kind='1')))
    assert 'is a vector file' in refused(tmp_path, RasterPair(*files, vector, value))


def test_an_empty_split_a_large_tile_and_a_wide_gap_are_refused(tmp_path):
    pair = labelled(tmp_path)
    assert 'larger than the raster of 40 x 60' in refused(tmp_path, pair, Cutting(tile=41))
    whole = Cutting(tile=20, min_side=10, block=3)
    assert 'leaves the test split empty' in refused(tmp_path, pair, whole)
    none = Cutting(tile=20, min_side=10, test_share=0)
    assert 'leaves the test or the training empty' in refused(tmp_path, pair, none)
    gap = Cutting(tile=20, min_side=10, block=1, gap=100)
    assert 'leaves no training tile' in refused(tmp_path, pair, gap)


def test_files_that_are_missing_damaged_or_given_twice_are_refused(tmp_path):
    rgb, dsm = optical(tmp_path), heights(tmp_path)
    assert 'is given twice' in refused(tmp_path, RasterPair(rgb, rgb))
    (tmp_path / 'link.tif').symlink_to(rgb)
    assert 'is given twice' in refused(tmp_path, RasterPair(rgb, str(tmp_path / 'link.tif')))
    assert 'does not exist' in refused(tmp_path, RasterPair(rgb, str(tmp_path / 'none.tif')))
    heights(tmp_path, compress='deflate')
    with rasterio.open(dsm) as raster:
        start, length = (
            int(raster.get_tag_item(f'BLOCK_{what}_0_0', 'TIFF', bidx=1))
            for what in ('OFFSET', 'SIZE')
        )
    content = bytearray((tmp_path / 'dsm.tif').read_bytes())
    content[start : start + length] = b'\xff' * length
    (tmp_path / 'dsm.tif').write_bytes(content)
    assert 'dsm.tif is damaged (GDAL says' in refused(tmp_path, RasterPair(rgb, dsm))
    (tmp_path / 'dsm.tif').write_bytes(b'<html>')
    assert 'is a web page' in refused(tmp_path, RasterPair(rgb, dsm))


def test_the_command_ends_in_one_sentence(tmp_path, monkeypatch):
    pair = labelled(tmp_path)
    files = ['--rgb', pair.rgb, '--aux', pair.aux, '--label', pair.label]
    options = ['--out', str(tmp_path / 'out'), '--tile', '20']
    monkeypatch.setattr(sys, 'argv', ['raster_pair.py', *files, *options])
    with pytest.raises(SystemExit, match=r'^error: .*label.tif holds labels that no class names'):
        runpy.run_path(str(ROOT / 'tools/dataset_converters/raster_pair.py'), run_name='__main__')
    assert not (tmp_path / 'out').exists()


def test_the_conversion_of_own_rasters_names_a_place_without_permission(open_folder):
    pair = RasterPair(optical(open_folder), heights(open_folder))
    (open_folder / 'in').mkdir()
    (open_folder / 'in').chmod(0o500)
    with no_root(), pytest.raises(OSError, match=r'out could not be written .*[Pp]ermission'):
        convert(pair, open_folder / 'in' / 'out', SMALL)
    assert list((open_folder / 'in').iterdir()) == []


@pytest.mark.parametrize('size', [100, 1000])
def test_the_conversion_of_own_rasters_names_a_full_disk_and_leaves_nothing(open_folder, size):
    pair = RasterPair(optical(open_folder), heights(open_folder))
    before = {path.name for path in open_folder.iterdir()}
    with short_disk(size), pytest.raises(OSError, match=r'could not be written .*free space'):
        convert(pair, open_folder / 'out', SMALL)
    assert {path.name for path in open_folder.iterdir()} == before
