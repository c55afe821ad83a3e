import warnings

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Compression
from rasterio.transform import Affine
from scenes.limits import short_disk

from mobanet_mmseg.rasters.geotiff import write_labels

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.05, 0, 368000, 0, -0.05, 5808000)
LEGEND = {
    'classes': ('road', 'house', 'tree'),
    'palette': [[255, 255, 255], [0, 0, 255], [0, 255, 0]],
}


def some_labels(height=37, width=53):
    labels = np.random.default_rng(0).integers(0, 3, (height, width), dtype=np.uint8)
    labels[:2, :3] = 255
    return labels


def test_pixels_colours_names_and_georeference_are_read_back(tmp_path):
    path = tmp_path / 'a' / 'b' / 'labels.tif'
    write_labels(path, some_labels(), crs=UTM, transform=NORTH_UP, **LEGEND)
    with rasterio.open(path) as written:
        assert np.array_equal(written.read(1), some_labels())
        assert written.dtypes == ('uint8',)
        assert written.crs == UTM
        assert written.transform == NORTH_UP
        assert written.nodata == 255
        assert written.colorinterp == (ColorInterp.palette,)
        colours = written.colormap(1)
        assert [colours[index] for index in (0, 1, 2)] == [
            (255, 255, 255, 255),
            (0, 0, 255, 255),
            (0, 255, 0, 255),
        ]
        assert colours[255] == (0, 0, 0, 0)
        tags = written.tags()
        assert [tags[f'CLASS_{index}'] for index in range(3)] == ['road', 'house', 'tree']
        assert written.block_shapes == [(256, 256)]
        assert written.compression == Compression.deflate
    assert [item.name for item in path.parent.iterdir()] == ['labels.tif']


@pytest.mark.parametrize(
    ('crs', 'transform'),
    [
        (UTM, Affine(0.04, 0.03, 368000, 0.03, -0.04, 5808000)),  # rotated
        (UTM, Affine(0.05, 0, 368000, 0, 0.05, 5808000)),  # south-up
        (None, Affine(2, 0, 5, 0, -2, 7)),
        (None, Affine.identity()),
    ],
)
def test_any_georeference_is_kept(tmp_path, crs, transform):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        write_labels(tmp_path / 'a.tif', some_labels(1, 53), crs=crs, transform=transform, **LEGEND)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        with rasterio.open(tmp_path / 'a.tif') as written:
            assert written.crs == crs
            assert written.transform == transform


@pytest.mark.parametrize('limit', [500, 2500, 100_000])
def test_full_disk_gives_one_sentence_and_no_file(tmp_path, limit):
    path = tmp_path / 'labels.tif'
    labels = some_labels(37, 53) if limit < 3000 else some_labels(1000, 1500)
    said = r'labels\.tif could not be written .*free space'
    with short_disk(limit), pytest.raises(OSError, match=said):
        write_labels(path, labels, crs=UTM, transform=NORTH_UP, **LEGEND)
    assert list(tmp_path.iterdir()) == []


def test_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'labels\.tif could not be written'):
        write_labels(
            tmp_path / 'file' / 'labels.tif', some_labels(), crs=UTM, transform=NORTH_UP, **LEGEND
        )


def test_index_without_a_class_is_refused(tmp_path):
    with pytest.raises(ValueError, match='class index 3, but there are 3 classes'):
        write_labels(
            tmp_path / 'a.tif', np.full((2, 3), 3, np.uint8), crs=None, transform=NORTH_UP, **LEGEND
        )
    assert list(tmp_path.iterdir()) == []


def test_labels_of_another_type_or_shape_are_refused(tmp_path):
    for labels in (np.zeros((2, 3), np.int64), np.zeros((1, 2, 3), np.uint8)):
        with pytest.raises(ValueError, match=r'shape \(H, W\) and type uint8'):
            write_labels(tmp_path / 'a.tif', labels, crs=None, transform=NORTH_UP, **LEGEND)


def test_palette_of_another_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match='2 classes and 1 colours'):
        write_labels(
            tmp_path / 'a.tif',
            np.zeros((2, 3), np.uint8),
            crs=None,
            transform=NORTH_UP,
            classes=('road', 'house'),
            palette=[[0, 0, 0]],
        )
