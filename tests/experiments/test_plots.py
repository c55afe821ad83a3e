import itertools

import numpy as np
import pytest

from mobanet_mmseg.experiments import plots
from mobanet_mmseg.experiments.plots import Point, draw_confusions, draw_points
from mobanet_mmseg.experiments.statistics import Summary


def crowd(count=30):
    """Points that lie close together, with names of many lengths."""
    rng = np.random.default_rng(0)
    return [
        Point(
            f'Network{"x" * (index % 7)} {index}',
            float(rng.uniform(20, 60)),
            Summary(float(rng.uniform(60, 64)), float('nan'), 1),
            ('optical', 'optical + aux', '-')[index % 3],
        )
        for index in range(count)
    ]


def test_labels_of_a_crowd_lie_on_nothing_and_within_the_frame(monkeypatch):
    boxes = []
    free_place = plots._free_place

    def remembered(place, width, height, taken, frame):
        box = free_place(place, width, height, taken, frame)
        boxes.append((box, tuple(taken), frame))
        return box

    monkeypatch.setattr(plots, '_free_place', remembered)
    picture = draw_points({'size (M)': crowd(), 'time (ms)': crowd(8)}, 'mIoU (%)', 'A title')
    assert picture.dtype == np.uint8
    assert len(boxes) == 38
    for box, taken, frame in boxes:
        assert all(plots._shared(box, other) == 0 for other in taken)
        assert plots._shared(box, frame) == box.width * box.height
    for panel in (boxes[:30], boxes[30:]):
        for (one, *_), (other, *_) in itertools.combinations(panel, 2):
            assert plots._shared(one, other) == 0


@pytest.mark.parametrize('costs', [[0.5], [0.03437], [3.0], [6.18, 6.18], [7.0, 7.2]])
def test_costs_that_do_not_differ_are_drawn(costs):
    points = [
        Point(f'network {index}', cost, Summary(3.4 + index, 0.13, 2), 'optical')
        for index, cost in enumerate(costs)
    ]
    assert draw_points({'size (M)': points}, 'mIoU (%)', 'alike').std() > 0


def test_nothing_that_has_run_gives_a_picture_that_says_so():
    assert draw_points({'a': [], 'b': []}, 'mIoU', 'none').std() > 0


def test_confusion_is_in_shares_of_the_truth(monkeypatch):
    written = []
    axes_text = plots.Axes.text
    monkeypatch.setattr(
        plots.Axes,
        'text',
        lambda self, x, y, text, **kwargs: (
            written.append((y, x, text)),
            axes_text(self, x, y, text, **kwargs),
        )[1],
    )
    draw_confusions({'one': np.array([[3, 1], [0, 0]])}, ('road', 'house'))
    cells = {(row, column): text for row, column, text in written}
    assert cells == {(0, 0): '75.0', (0, 1): '25.0', (1, 0): '-', (1, 1): '-'}
