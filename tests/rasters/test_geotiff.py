import warnings
from itertools import count

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, Compression
from rasterio.transform import Affine
from scenes.limits import short_disk

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.rasters import geotiff
from mobanet_mmseg.rasters.files import RasterInfo
from mobanet_mmseg.rasters.geotiff import (
    MAP,
    TILE,
    Layer,
    open_geotiffs,
    write_geotiff,
)

UTM = CRS.from_epsg(32633)
NORTH_UP = Affine(0.05, 0, 368000, 0, -0.05, 5808000)
CLASSES = Classes(('road', 'house', 'tree'), [[255, 255, 255], [0, 0, 255], [0, 255, 0]])


def grid_of(height=37, width=53, crs=UTM, transform=NORTH_UP):
    return RasterInfo('grid.tif', height, width, 1, ('uint8',), crs, transform, (None,))


def write_labels(path, labels, grid, classes):
    write_geotiff(Layer(path, classes=classes), grid, labels[None])


def some_labels(height=37, width=53):
    labels = np.random.default_rng(0).integers(0, 3, (height, width), dtype=np.uint8)
    labels[:2, :3] = 255
    return labels


def test_pixels_colours_names_and_georeference_are_read_back(tmp_path):
    path = tmp_path / 'a' / 'b' / 'labels.tif'
    write_labels(path, some_labels(), grid_of(), CLASSES)
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
        write_labels(
            tmp_path / 'a.tif', some_labels(1, 53), grid_of(1, 53, crs, transform), CLASSES
        )
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
        write_labels(path, labels, grid_of(*labels.shape), CLASSES)
    assert list(tmp_path.iterdir()) == []


def test_place_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match=r'labels\.tif could not be written'):
        write_labels(tmp_path / 'file' / 'labels.tif', some_labels(), grid_of(), CLASSES)


def test_index_without_a_class_is_refused(tmp_path):
    with pytest.raises(ValueError, match='class index 3, but there are 3 classes'):
        write_labels(tmp_path / 'a.tif', np.full((2, 3), 3, np.uint8), grid_of(2, 3), CLASSES)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('layout', [MAP, TILE])
@pytest.mark.parametrize(
    ('dtype', 'bands', 'nodata'),
    [('uint8', 3, None), ('uint8', 4, 0), ('float32', 1, -9999), ('float64', 2, np.nan)],
)
def test_values_of_any_type_are_read_back(tmp_path, layout, dtype, bands, nodata):
    pixels = (np.random.default_rng(0).random((bands, 300, 140)) * 200).astype(dtype)
    if dtype == 'float64':
        pixels[:, :5] = np.nan
    layer = Layer(tmp_path / 'a.tif', ('',) * bands, dtype, nodata, layout=layout, mtime_ns=10**18)
    write_geotiff(layer, grid_of(300, 140), pixels)
    with rasterio.open(layer.path) as written:
        np.testing.assert_array_equal(written.read(), pixels)
        np.testing.assert_equal(written.nodatavals, (nodata,) * bands)
        assert set(written.block_shapes) == {(layout.block, layout.block)}
        assert written.compression.name == layout.values['compress']
        assert ColorInterp.alpha not in written.colorinterp
    assert layer.path.stat().st_mtime_ns == 10**18


def test_the_layouts_are_those_that_were_measured(tmp_path):
    assert (MAP.block, MAP.interleave) == (256, 'band')
    assert (TILE.block, TILE.interleave, TILE.values['compress']) == (128, 'pixel', 'zstd')


@pytest.mark.parametrize('layout', [MAP, TILE])
def test_number_of_rows_and_column_blocks_change_no_pixel(tmp_path, layout):
    labels = some_labels(520, 600)
    layers = [Layer(tmp_path / f'{n}.tif', classes=CLASSES, layout=layout) for n in range(2)]
    with open_geotiffs(layers, grid_of(520, 600)) as (whole, blocks):
        for row in range(0, 520, 7):
            whole.write(labels[None, row : row + 7])
        for first, end in ((0, 256), (256, 512), (512, 600)):
            for row in range(0, 520, 100):
                blocks.write(labels[None, row : row + 100, first:end], first)
    for layer in layers:
        with rasterio.open(layer.path) as written:
            np.testing.assert_array_equal(written.read(1), labels)


def test_a_mask_lies_inside_the_file(tmp_path):
    mask = np.arange(37 * 53).reshape(37, 53) % 3 > 0
    layer = Layer(tmp_path / 'a.tif', ('',) * 3, nodata=None, layout=TILE)
    write_geotiff(layer, grid_of(), np.stack([some_labels()] * 3), mask)
    with rasterio.open(layer.path) as written:
        np.testing.assert_array_equal(written.dataset_mask() != 0, mask)
    assert [path.name for path in tmp_path.iterdir()] == ['a.tif']


def test_what_gdal_loses_silently_is_found_when_it_is_read_back(tmp_path, monkeypatch):
    numbers = count()
    monkeypatch.setattr(geotiff.zlib, 'crc32', lambda *_: next(numbers))
    with pytest.raises(OSError, match='reads back other pixels'):
        write_labels(tmp_path / 'a.tif', some_labels(), grid_of(), CLASSES)
    assert list(tmp_path.iterdir()) == []


def test_rows_and_column_blocks_that_are_left_out_leave_no_file(tmp_path):
    labels, layer = some_labels(5, 256)[None], Layer(tmp_path / 'out.tif', classes=CLASSES)
    mistakes = {
        'not all was written': [(labels[:, :4], 0)],
        'rows of the block before': [(labels[:, :4], 0), (labels, 256)],
        '512': [(labels, 0), (labels, 512)],
        'float64': [(labels / 2, 0)],
    }
    for said, writes in mistakes.items():
        with (
            pytest.raises(AssertionError, match=said),
            open_geotiffs([layer], grid_of(5, 768)) as (file,),
        ):
            for rows, column in writes:
                file.write(rows, column)
        assert list(tmp_path.iterdir()) == []


def test_overviews_and_statistics_of_a_map_that_is_replaced_are_gone(tmp_path):
    path = tmp_path / 'labels.tif'
    write_labels(path, some_labels(600, 700), grid_of(600, 700), CLASSES)
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, 'r+') as raster:
        raster.build_overviews([2])
    (tmp_path / 'labels.tif.aux.xml').touch()
    (tmp_path / 'other.tif.ovr').touch()
    assert (tmp_path / 'labels.tif.ovr').exists()
    write_labels(path, np.ones((600, 700), np.uint8), grid_of(600, 700), CLASSES)
    assert sorted(item.name for item in tmp_path.iterdir()) == ['labels.tif', 'other.tif.ovr']
    with rasterio.open(path) as raster:
        assert (raster.read(1, out_shape=(300, 350)) == 1).all()
