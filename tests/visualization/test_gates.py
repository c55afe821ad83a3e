import numpy as np

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.visualization.colours import NO_DATA_COLOUR
from mobanet_mmseg.visualization.gates import LEAST_REACH, draw_gate_table, reach_of, render_gates

CLASSES = Classes(('ground', 'house'), [[255, 255, 255], [0, 0, 255]])


def test_colours_reach_as_far_as_most_weights_do():
    assert reach_of(np.full((1, 10, 10), 0.5)) == LEAST_REACH
    assert reach_of(np.array([np.nan, 0.2, 0.7])) > 0.29
    assert reach_of(np.array([np.nan])) == LEAST_REACH
    outlier = np.full(1000, 0.6)
    outlier[0] = 1.0
    assert abs(reach_of(outlier) - 0.1) < 1e-9


def drawn(**changes):
    rng = np.random.default_rng(0)
    weight = np.full((2, 240, 360), 0.4, np.float32)
    weight[:, :120] = 0.6
    layers = dict(
        rgb=rng.uniform(0, 255, (240, 360, 3)), aux=rng.uniform(0, 1, (240, 360, 1)), weight=weight
    )
    return render_gates(**{**layers, **changes})


def colours_of(picture):
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    return {tuple(map(int, c)): int(n) for c, n in zip(colours, counts, strict=True)}


def test_what_comes_from_aux_is_orange_and_what_comes_from_rgb_violet():
    found = colours_of(drawn())
    (red, _, blue), (other_red, _, other_blue) = sorted(
        (c for c, n in found.items() if 2 * 43_000 < n < 2 * 44_500), key=lambda c: c[2]
    )
    assert red > blue
    assert other_blue > other_red


def test_no_data_and_the_truth_are_drawn():
    weight = np.full((1, 240, 360), 0.5, np.float32)
    weight[:, :100] = np.nan
    truth = np.ones((240, 360), np.int32)
    found = colours_of(drawn(weight=weight, truth=truth, classes=CLASSES))
    assert found[NO_DATA_COLOUR] >= 100 * 360
    assert found[(0, 0, 255)] >= 240 * 360


def test_a_table_with_an_absent_class_is_drawn():
    values = np.array([[0.5, 0.4], [np.nan, np.nan]])
    picture = draw_gate_table({'weight': values, 'share': values}, CLASSES.names, 'gates')
    assert picture.ndim == 3
    assert len(colours_of(picture)) > 10
