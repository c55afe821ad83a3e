import numpy as np
import pytest
from scenes.checked_tiles import tile_pixels, tiles_config
from scenes.rasters import write_raster

from mobanet_mmseg.checks import measure
from mobanet_mmseg.checks.checks import check_config
from mobanet_mmseg.rasters import windows

OPTICAL, _, LABELS = tile_pixels(seed=0)


def test_numbers_are_those_counted_by_hand(data, monkeypatch):
    monkeypatch.setattr(windows, 'CHUNK_BYTES', 128 * 3 * 4 * 7)  # strips of 7 rows
    optical, heights, labels = tile_pixels(seed=0)
    heights[:, :16] = -9999  # an eighth
    labels[:24] = 255  # a quarter
    labels[24, :64] = 7  # half a row of 96
    write_raster(data / 'dsm/a.tif', heights, nodata=-9999)
    write_raster(data / 'labels/a.tif', labels)
    report = check_config(tiles_config(data), 'train').tiles[0].report
    valid = heights[:, 16:]
    assert report.aux.nodata == 1 / 8 and report.optical.nodata == 0
    assert report.ignored == 1 / 4 and report.unknown == 1 / 192
    assert report.counts == tuple((labels == index).sum() for index in range(3))
    np.testing.assert_allclose(report.mean, optical.mean(axis=(0, 1)))
    np.testing.assert_allclose(report.std, optical.std(axis=(0, 1)))
    low, p1, *_, p99, high = report.percentiles[0]
    assert (low, high) == (valid.min(), valid.max()) and report.outside == 0
    assert p99 == np.percentile(valid, 99, method='inverted_cdf')
    assert report.filled[0] == pytest.approx((p99 - p1) / (high - low))


@pytest.mark.parametrize('side', [7, 96])
def test_a_reduced_tile_shows_the_whole_tile(data, monkeypatch, side):
    monkeypatch.setattr(measure, 'OVERVIEW', side)
    layers = []
    check_config(tiles_config(data), 'train', lambda _, found: layers.append(found))
    factor = -(-128 // side)
    shape = (96 // factor, 128 // factor)
    rgb, aux, truth = layers[0].values()
    assert rgb.shape == (*shape, 3) and aux.shape == (*shape, 1) and truth.shape == shape
    block = OPTICAL[:factor, factor : 2 * factor].mean(axis=(0, 1))
    np.testing.assert_allclose(rgb[0, 1], block, rtol=1e-5)
    assert truth[1, 2] == LABELS[factor + factor // 2, 2 * factor + factor // 2]
