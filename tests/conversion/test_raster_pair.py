import shutil

import numpy as np
import pytest
import rasterio
from mmengine.config import Config
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_points
from scenes.pairs import (
    EAST,
    NORTH,
    SHAPE,
    SMALL,
    ask,
    heights,
    labelled,
    labels,
    mosaic,
    names,
    optical,
    place,
    refused,
    square,
    write_polygons,
)
from scenes.rasters import write_raster

from mobanet_mmseg.conversion.labels import parse_codes
from mobanet_mmseg.conversion.raster_pair import Cutting, RasterPair, convert
from mobanet_mmseg.rasters.files import read_info
from mobanet_mmseg.rasters.warping import warped_values
from mobanet_mmseg.rasters.windows import read_with_validity
from mobanet_mmseg.tiling.windows import Window


def test_rasters_on_one_grid_are_cut_bit_by_bit_and_each_pixel_is_covered_once(tmp_path):
    rgb = optical(tmp_path, np.random.default_rng(0).integers(1, 255, (*SHAPE, 3), np.uint8))
    dsm = heights(tmp_path)
    codes = np.random.default_rng(2).integers(0, 3, SHAPE, np.uint8)
    label = labels(tmp_path, codes)
    meanings = parse_codes('value', ['a=2', 'b=0', 'c=1'])
    cutting = Cutting(tile=25, min_side=15, block=1)  # rows 25 + 15, columns 25 + 35
    report = convert(RasterPair(rgb, dsm, label, meanings), tmp_path / 'out', cutting)
    for folder, source in (('img', rgb), ('aux', dsm)):
        pixels, covered = mosaic(tmp_path / 'out', folder)
        assert (covered == 1).all()
        with rasterio.open(source) as raster:
            np.testing.assert_array_equal(pixels, raster.read())
    pixels, _ = mosaic(tmp_path / 'out', 'label')
    np.testing.assert_array_equal(pixels[0], np.array([1, 2, 0])[codes])
    assert sum(report.pixels.values()).tolist() == [*(np.bincount(codes.ravel())[[2, 0, 1]]), 0]
    sizes = {read.shape for read in map(rasterio.open, (tmp_path / 'out/img').glob('*'))}
    assert sizes == {(25, 25), (25, 35), (15, 25), (15, 35)}
    with rasterio.open(tmp_path / 'out/img/rgb_r001_c001.tif') as tile:
        assert (tile.crs.to_epsg(), tile.transform) == (32633, place(25, 25))
        assert tile.profile['compress'] == 'zstd'
    with rasterio.open(tmp_path / 'out/label/rgb_r000_c000.tif') as tile:
        assert tile.nodata == 255


def test_aux_of_twice_the_resolution_and_shifted_by_whole_cells_keeps_its_plane(tmp_path):
    rows, cols = np.mgrid[:100, :140]  # from 7 m west and 5 m north of the optical raster
    x, y = (cols + 0.5) / 2 - 7, (rows + 0.5) / 2 - 5
    dsm = heights(tmp_path, 100 + 0.25 * x - 0.5 * y, place(-7, -5, 0.5))
    convert(RasterPair(optical(tmp_path), dsm), tmp_path / 'out', SMALL)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    pixels, _ = mosaic(tmp_path / 'out', 'aux')
    np.testing.assert_allclose(pixels[0], 100 + 0.25 * cols - 0.5 * rows, atol=1e-3)


def test_nearest_takes_the_cell_that_the_pixel_lies_in(tmp_path):
    coarse = np.arange(1, 16, dtype=np.uint16).reshape(3, 5)  # cells of 20 m, from 20 m west
    dsm = heights(tmp_path, coarse, place(-20, 0, 20.0), nodata=65535)
    cutting = Cutting(tile=20, min_side=10, resampling='nearest')
    convert(RasterPair(optical(tmp_path), dsm), tmp_path / 'out', cutting)
    pixels, _ = mosaic(tmp_path / 'out', 'aux')
    np.testing.assert_array_equal(pixels[0], coarse[:2, 1:4].repeat(20, 0).repeat(20, 1))


def test_a_plane_in_another_crs_survives_the_warp(tmp_path):
    lon, lat = transform_points('EPSG:32633', 'EPSG:4326', [EAST], [NORTH])
    step = 2e-5  # 1.4 m by 2.2 m
    rows, cols = np.mgrid[:50, :110]
    left, top = lon[0] - 20 * step, lat[0] + 15 * step
    plane = 50 + 4e4 * step * (cols + 0.5 - 20) + 2e4 * step * (15 - rows - 0.5)
    dsm = heights(tmp_path, plane, from_origin(left, top, step, step), crs='EPSG:4326')
    convert(RasterPair(optical(tmp_path), dsm), tmp_path / 'out', SMALL)
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]] + 0.5
    lons, lats = transform_points(
        'EPSG:32633', 'EPSG:4326', (EAST + cols).ravel(), (NORTH - rows).ravel()
    )
    expected = 50 + 4e4 * (np.array(lons) - lon[0]) + 2e4 * (np.array(lats) - lat[0])
    pixels, _ = mosaic(tmp_path / 'out', 'aux')
    assert np.ptp(expected) > 20  # a cell is 0.8 along the columns
    np.testing.assert_allclose(pixels[0], expected.reshape(SHAPE), atol=0.01)


def test_a_warped_height_does_not_depend_on_the_tiles(tmp_path):
    rng = np.random.default_rng(0)
    grid = from_origin(EAST, NORTH, 3, 3)
    rgb = write_raster(tmp_path / 'rgb.tif', np.ones((256, 256, 3), np.uint8), transform=grid)
    # a finer raster, in another CRS, that begins within the optical one
    (x,), (y,) = transform_points('EPSG:32633', 'EPSG:3857', [EAST + 384], [NORTH - 307])
    roofs = np.kron(rng.uniform(100, 120, (75, 75)), np.ones((4, 4)))
    dsm = heights(tmp_path, roofs, from_origin(x, y, 2.8, 2.8), crs='EPSG:3857', nodata=-9999)
    pair = RasterPair(str(rgb), dsm)
    grid, aux = read_info(rgb), read_info(dsm)
    with warped_values(aux, grid, (1,)) as raster:
        expected = raster.read(Window(0, 0, 256, 256))[..., 0]
    assert np.nanstd(expected) > 3 and np.isnan(expected).any()
    for tile in (64, 250):
        out = tmp_path / str(tile)
        convert(pair, out, Cutting(tile=tile, min_side=6))
        for path in (out / 'aux').iterdir():
            with rasterio.open(path) as found:
                corner = (found.transform.c - EAST) / 3, (NORTH - found.transform.f) / 3
                own = np.where(found.read(1) == -9999, np.nan, found.read(1))
            col, row = map(round, corner)
            part = expected[row : row + own.shape[0], col : col + own.shape[1]]
            np.testing.assert_array_equal(own, part)


@pytest.mark.parametrize(
    'grid',
    [Affine(1, 0, EAST, 0, 1, NORTH - 40), Affine(0.8, -0.6, EAST + 30, -0.6, -0.8, NORTH)],
    ids=['south up', 'rotated'],
)
def test_any_optical_grid_gets_its_heights_and_polygons(tmp_path, grid):
    pixels = np.full((*SHAPE, 3), 100, np.uint8)
    rgb = str(write_raster(tmp_path / 'rgb.tif', pixels, transform=grid))
    rows, cols = np.mgrid[:400, :400]
    x, y = (cols + 0.5) / 2 - 100, (rows + 0.5) / 2 - 100
    dsm = heights(tmp_path, 100 + 0.25 * x - 0.5 * y, place(-100, -100, 0.5))
    label = write_polygons(tmp_path, (square(5, 5, 25, 25), dict(kind='a')))
    meanings = parse_codes('attribute', ['a=a'], background='rest')
    pair = RasterPair(rgb, dsm, label, meanings, 'kind')
    convert(pair, tmp_path / 'out', Cutting(tile=30, min_side=10, block=1))
    for path in (tmp_path / 'out' / 'aux').iterdir():
        with (
            rasterio.open(path) as aux,
            rasterio.open(tmp_path / 'out' / 'label' / path.name) as drawn,
        ):
            rows, cols = np.mgrid[: aux.height, : aux.width]
            a, b, c, d, e, f = aux.transform[:6]
            x = a * (cols + 0.5) + b * (rows + 0.5) + c - EAST
            y = NORTH - (d * (cols + 0.5) + e * (rows + 0.5) + f)
            np.testing.assert_allclose(aux.read(1), 100 + 0.25 * x - 0.5 * y, atol=0.01)
            inside = (x > 5) & (x < 25) & (y > 5) & (y < 25)
            np.testing.assert_array_equal(drawn.read(1), np.where(inside, 0, 1))


def test_several_aux_bands_are_kept_and_alpha_says_where_there_are_any(tmp_path):
    sar = np.random.default_rng(4).integers(1, 99, (*SHAPE, 3), dtype=np.uint8)
    sar[..., 1] = 255
    sar[:5, :7, 1] = 0
    dsm = heights(tmp_path, sar, photometric='minisblack', alpha='yes')  # band 2 is alpha
    pair = RasterPair(optical(tmp_path), dsm)
    report = convert(pair, tmp_path / 'out', SMALL)
    pixels, _ = mosaic(tmp_path / 'out', 'aux')
    assert np.isnan(pixels[0]).sum() == 35
    assert 'pixels without auxiliary data: 35;' in str(report)
    np.testing.assert_array_equal(pixels[:, 5:], np.moveaxis(sar[5:, :, [0, 2]], -1, 0))
    config = Config.fromfile(tmp_path / 'out' / 'dataset.py')
    assert (config.modality_channels, config.dataset.aux_bands) == ((3, 2), (1, 2))
    asked = RasterPair(pair.rgb, dsm, aux_bands=(1, 2))
    assert 'marks the band 2 as alpha' in refused(tmp_path, asked)


def test_optical_nodata_is_no_label_and_tiles_without_data_are_left_out(tmp_path):
    pixels = np.full((*SHAPE, 3), 100, np.uint8)
    pixels[:20, :20] = 0  # all of a tile
    pixels[20:24, :5] = 0
    pixels[30, 0] = (0, 100, 100)  # one band alone is no nodata
    codes = np.ones(SHAPE, np.uint8)
    codes[:20, 40:] = 9  # no label in this tile
    dsm = np.full(SHAPE, 7.0)
    dsm[:, :] += np.arange(60)
    dsm[20:, 40:] = -9999  # no height in this one
    dsm[0, 20] = -9999
    pair = RasterPair(
        optical(tmp_path, pixels, nodata=0),
        heights(tmp_path, dsm, nodata=-9999),
        labels(tmp_path, codes),
        parse_codes('value', ['a=1'], ignore=['9']),
    )
    report = convert(pair, tmp_path / 'out', SMALL)
    assert report.dropped == {'no optical data': 1, 'no label': 1, 'no auxiliary data': 1}
    assert 'pixels without optical data: 20 (no label there)' in str(report)
    assert 'pixels without auxiliary data: 1;' in str(report)
    assert sum(report.pixels.values()).tolist() == [3 * 400 - 20, 20]
    with rasterio.open(tmp_path / 'out/label/rgb_r001_c000.tif') as tile:
        assert (tile.read(1)[:4, :5] == 255).all()
        assert tile.read(1)[10, 0] == 0
    with rasterio.open(tmp_path / 'out/aux/rgb_r000_c001.tif') as tile:
        assert tile.nodata == -9999
        assert tile.read(1)[0, :2].tolist() == [-9999, 28]
    with rasterio.open(tmp_path / 'out/img/rgb_r001_c000.tif') as tile:
        assert tile.nodata == 0
    ask(tmp_path / 'out').full_init()


def test_what_a_mask_leaves_out_of_a_raster_with_nodata_is_no_data_in_its_tiles(tmp_path):
    rgb = optical(tmp_path, np.full((*SHAPE, 3), 100, np.uint8), nodata=0)
    mask = np.ones(SHAPE, bool)
    mask[:3, :7] = False
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(rgb, 'r+') as raster:
        raster.write_mask(mask)
    convert(RasterPair(rgb, heights(tmp_path)), tmp_path / 'out', SMALL)
    _, valid = read_with_validity(tmp_path / 'out/img/rgb_r000_c000.tif', (1, 2, 3))
    np.testing.assert_array_equal(valid, mask[:20, :20])


def test_what_lies_outside_of_the_aux_raster_is_nan_where_it_has_no_nodata_value(tmp_path):
    dsm = heights(tmp_path, np.arange(1, 801, dtype=np.uint16).reshape(40, 20), place(20))
    report = convert(RasterPair(optical(tmp_path), dsm), tmp_path / 'out', Cutting(30, 10))
    pixels, covered = mosaic(tmp_path / 'out', 'aux')
    assert (covered == 1).all()
    np.testing.assert_array_equal(pixels[0, :, 20:40], np.arange(1, 801).reshape(40, 20))
    assert np.isnan(pixels[0, :, :20]).all()
    assert np.isnan(pixels[0, :, 40:]).all()
    assert 'pixels without auxiliary data: 1600;' in str(report)


def test_flat_tiles_are_scaled_by_the_range_of_all(tmp_path):
    dsm = np.zeros(SHAPE)
    dsm[:20, :20] = np.linspace(0, 12, 400).reshape(20, 20)
    pair = RasterPair(optical(tmp_path), heights(tmp_path, dsm))
    report = convert(pair, tmp_path / 'out', SMALL)
    assert 'aux_range=((0.0,), (12.0,))' in str(report)
    dataset = ask(tmp_path / 'out', 'test')
    assert len(dataset) == 6
    assert dataset[3]['inputs'][3].max() == 0


def test_an_alpha_band_says_what_is_valid_unless_it_is_asked_for(tmp_path):
    pixels = np.full((*SHAPE, 4), 100, np.uint8)
    pixels[:4, :5, 3] = 0
    rgb = optical(tmp_path, pixels, photometric='rgb', alpha='yes')
    pair = RasterPair(
        rgb,
        heights(tmp_path),
        labels(tmp_path, np.ones(SHAPE, np.uint8)),
        parse_codes('value', ['a=1']),
    )
    assert 'optical data: 20 (' in str(convert(pair, tmp_path / 'three', SMALL))
    with rasterio.open(tmp_path / 'three/img/rgb_r000_c000.tif') as tile:
        assert tile.count == 3
        assert (tile.dataset_mask() == 0).sum() == 20
    four = RasterPair(rgb, pair.aux, pair.label, pair.codes, rgb_bands=(1, 2, 3, 4))
    assert 'optical data: 0 (' in str(convert(four, tmp_path / 'four', SMALL))
    with rasterio.open(tmp_path / 'four/img/rgb_r000_c000.tif') as tile:
        assert tile.count == 4
        assert rasterio.enums.ColorInterp.alpha not in tile.colorinterp


def test_the_same_seed_gives_the_same_bytes_and_another_one_another_split(tmp_path):
    pair = labelled(tmp_path)
    for name, seed in (('a', 0), ('b', 0), ('c', 1)):
        convert(pair, tmp_path / name, Cutting(tile=10, min_side=5, block=1, seed=seed))
    first, again = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob('*.*')}
        for n in ('a', 'b')
    )
    assert first == again
    assert names(tmp_path / 'a', 'test') != names(tmp_path / 'c', 'test')


def test_the_dataset_file_reads_what_was_written_and_can_be_moved(tmp_path):
    convert(labelled(tmp_path), tmp_path / 'out', SMALL)
    shutil.move(tmp_path / 'out', tmp_path / 'moved')
    train, test = ask(tmp_path / 'moved'), ask(tmp_path / 'moved', 'test')
    assert len(train) + len(test) == 6
    for index, name in enumerate(names(tmp_path / 'moved', 'train')):
        sample = train.get_data_info(index)
        assert sample['img_path'] == str(tmp_path / 'moved' / 'img' / f'{name}.tif')
    sample = test[0]
    with rasterio.open(
        tmp_path / f'moved/label/{names(tmp_path / "moved", "test")[0]}.tif'
    ) as tile:
        label = sample['data_samples'].gt_sem_seg.data[0].numpy()
        np.testing.assert_array_equal(label, tile.read(1))


def test_nothing_stays_after_an_error_and_overwrite_replaces_a_conversion_alone(tmp_path):
    pair = labelled(tmp_path)
    convert(pair, tmp_path / 'out', SMALL)
    before = sorted(tmp_path.rglob('*'))
    bad = RasterPair(pair.rgb, pair.aux, pair.label, parse_codes('value', ['a=1']))
    with pytest.raises(ValueError, match=r'no class names: 2 \(1\d\d\d pixels\)'):
        convert(bad, tmp_path / 'out', SMALL, overwrite=True)
    assert sorted(tmp_path.rglob('*')) == before
    convert(pair, tmp_path / 'out', Cutting(30, 10, block=1), overwrite=True)
    assert len(list((tmp_path / 'out/img').iterdir())) == 4
