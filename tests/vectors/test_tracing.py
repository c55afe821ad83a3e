import numpy as np
import pytest
import rasterio.features
from scipy import ndimage

shapely = pytest.importorskip('shapely', reason='the extra "vector" is not installed')

from mobanet_mmseg.vectors import tracing  # noqa: E402  (imports shapely)

SHAPE = 40, 60


def noise():
    return np.random.default_rng(0).integers(0, 3, SHAPE, dtype=np.uint8)


def hills():
    heights = ndimage.gaussian_filter(np.random.default_rng(0).random(SHAPE), 4)
    return (heights * 90 % 4).astype(np.uint8)


def one():
    return np.full(SHAPE, 2, np.uint8)


def trace(labels, tolerance=0.0):
    parts = list(tracing.trace_polygons(lambda w: labels[w.rows, w.cols], *labels.shape, tolerance))
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(tracing, 'BLOCK', 32)


@pytest.mark.parametrize('pattern', [noise, hills, one])
def test_blocks_give_the_polygons_of_the_whole_map(pattern):
    labels = pattern()
    polygons, values = trace(labels)
    expected = rasterio.features.shapes(labels, connectivity=4)
    whole = [(shapely.geometry.shape(geometry), value) for geometry, value in expected]
    assert {(polygon.normalize().simplify(0), value) for polygon, value in whole} == {
        (polygon.normalize().simplify(0), value)
        for polygon, value in zip(polygons.tolist(), values.tolist(), strict=True)
    }


@pytest.mark.parametrize('tolerance', [0, 1.2, 5])
@pytest.mark.parametrize('pattern', [noise, hills, one])
def test_neighbours_keep_their_common_borders(pattern, tolerance):
    polygons, values = trace(pattern(), tolerance)
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)  # no gap, no overlap, the same vertices
    assert shapely.area(polygons).sum() == 40 * 60
    assert shapely.total_bounds(polygons).tolist() == [0, 0, 60, 40]
    assert len(polygons) == len(trace(pattern())[0]) == len(values)


def test_long_borders_meet_to_the_last_digit(monkeypatch):
    monkeypatch.setattr(tracing, 'BLOCK', 200)
    labels = np.zeros((230, 420), np.uint8)
    for step in range(3, 199):  # borders of all lengths, some along the edge of a block
        labels[step, : 2 * step] = step % 3
        labels[200:, step : step + 1] = step % 2
    polygons, _ = trace(labels)
    corners = shapely.get_coordinates(polygons)
    np.testing.assert_array_equal(corners, np.rint(corners))
    assert shapely.coverage_is_valid(polygons)


def test_a_tolerance_makes_straight_lines_of_steps():
    rows, cols = np.mgrid[:40, :60]
    slope = (cols > rows + 5).astype(np.uint8)
    exact, _ = trace(slope)
    simple, _ = trace(slope, 1.5)
    assert shapely.get_num_coordinates(exact).sum() > 140
    assert shapely.get_num_coordinates(simple).sum() < 30
    np.testing.assert_allclose(shapely.area(simple), shapely.area(exact), rtol=0.02)


def test_a_single_pixel_stays():
    labels = one()
    labels[30, 50] = 0
    polygons, values = trace(labels, 3)
    assert sorted(values) == [0, 2]
    assert shapely.area(polygons[values == 0]).item() == pytest.approx(0.5)  # a triangle is left
