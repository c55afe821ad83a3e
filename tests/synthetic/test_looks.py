import hashlib
from itertools import pairwise, permutations

import numpy as np
import pytest
import rasterio
from scenes.commands import run_tool

from mobanet_mmseg.synthetic import make_tile, write_archive
from mobanet_mmseg.synthetic.draft import Draft
from mobanet_mmseg.synthetic.items import BUILDING, IMPERVIOUS, LOW_VEGETATION, TREE, Patch, Surface
from mobanet_mmseg.synthetic.layout import Pose
from mobanet_mmseg.synthetic.looks import LOOKS, tell_classes
from mobanet_mmseg.synthetic.vehicles import GLASS, add_car, add_skip

# Of make_tile('2_10', (96, 128), gsd=0.3) before it had an ambiguity: the sha256 of its labels, and
# pixels of its image and its DSM.
HASH = '098f29f264e2576631d9ca3f5893d4c9c26e1cf3148702bc4fc51885c29927df'
IMAGE = [
    [(33, 37, 30, 49), (123, 134, 94, 221), (107, 128, 84, 209)],
    [(24, 37, 26, 42), (46, 58, 45, 79), (49, 57, 42, 93)],
    [(72, 83, 66, 136), (86, 100, 64, 160), (80, 93, 63, 153)],
]
DSM = [[40.278, 43.588, 51.091], [38.975, 40.753, 51.279], [38.262, 48.102, 49.814]]


@pytest.fixture(scope='module')
def tiles():
    shares = (0, 0.3, 0.6, 1)
    return [make_tile('3_12', (300, 340), gsd=0.2, ambiguity=share) for share in shares]


def test_the_default_city_is_the_one_it_always_was():
    tile = make_tile('2_10', (96, 128), gsd=0.3)
    labels = hashlib.sha256(tile.labels.tobytes()).hexdigest()
    assert labels == HASH
    # Processors round the blurs differently: by one step of a byte at most.
    np.testing.assert_allclose(tile.image[10::40, 15::45], IMAGE, atol=1)
    np.testing.assert_allclose(tile.dsm[10::40, 15::45], DSM, atol=2e-3)
    again = make_tile('2_10', (96, 128), gsd=0.3, ambiguity=1)
    np.testing.assert_array_equal(tile.image, again.image)


def test_ambiguity_leaves_labels_and_heights(tiles):
    for tile in tiles[:-1]:
        for field in ('labels', 'dsm', 'ground'):
            np.testing.assert_array_equal(getattr(tile, field), getattr(tiles[-1], field))
        assert (tile.image != tiles[-1].image).any()


def _accuracy(tile, first, second):
    """Balanced accuracy of a linear discriminant between two classes by colour and its hue."""
    image = tile.image[..., :3].astype(float)
    hue = 255 * image[..., :2] / image.sum(-1, keepdims=True)
    a, b = (np.dstack([image, hue])[tile.labels == label] for label in (first, second))
    normal = np.linalg.solve(np.cov(a.T) + np.cov(b.T), a.mean(0) - b.mean(0))
    middle = (a.mean(0) + b.mean(0)) @ normal / 2
    return ((a @ normal > middle).mean() + (b @ normal < middle).mean()) / 2


def test_at_0_colours_alone_tell_each_class_from_each_other(tiles):
    assert min(_accuracy(tiles[0], *pair) for pair in permutations(range(6), 2)) > 0.95


@pytest.mark.parametrize(('tall', 'low'), [(BUILDING, IMPERVIOUS), (TREE, LOW_VEGETATION)])
def test_the_more_ambiguity_the_less_colours_tell(tiles, tall, low):
    found = [_accuracy(tile, tall, low) for tile in tiles]
    assert all(more > less + 0.02 for more, less in pairwise(found)), found


def _told(items, share):
    """Which items look as their class does, their colours included."""
    seen = tell_classes(items, share, np.random.default_rng(5))
    return [new.colour if new is not old else None for new, old in zip(seen, items, strict=True)]


def test_a_share_of_the_things_is_told_and_a_higher_share_tells_them_too():
    square = np.array([[0, 0], [3, 0], [3, 2], [0, 2.0]])
    items = [Patch(square, Surface.PAVING, (9, 9, 9), label, 0) for label in range(6)] * 200
    few, many = _told(items, 0.3), _told(items, 0.7)
    counts = [sum(colour is not None for colour in found) / len(items) for found in (few, many)]
    assert counts == pytest.approx([0.3, 0.7], abs=0.04)
    assert all(a is None or a == b for a, b in zip(few, many, strict=True))
    assert _told(items, 0) == [None] * len(items)
    assert None not in _told(items, 1)


def test_a_car_s_roof_and_rubble_look_as_what_they_lie_on_and_glass_as_glass():
    draft = Draft((20, 20), np.random.default_rng(2))
    for place in range(30):
        add_car(draft, Pose(place, 0, 0))
        add_skip(draft, Pose(place, 5, 0))
    looks = tell_classes(draft.items, 0.5, np.random.default_rng(0))
    told = np.array([new is not old for new, old in zip(looks, draft.items, strict=True)])
    body, glass, roof, skip, rubble = told.reshape(30, 5).T
    np.testing.assert_array_equal(roof, body)
    np.testing.assert_array_equal(rubble, skip)
    assert 5 < body.sum() < 25
    assert not glass.any()
    assert {item.colour for item in looks[1::5]} == {GLASS}


def test_a_street_keeps_its_marks_and_takes_its_class_s_surface():
    draft = Draft((20, 20), np.random.default_rng(0))
    draft.box(3, Pose(0, 0, 0), (9, 4), Surface.SOIL, (1, 2, 3), IMPERVIOUS)
    draft.stripe(0, (0, 2), (0, 0.2))
    street, mark = tell_classes(draft.items, 1, np.random.default_rng(0))
    assert street.surface == LOOKS[IMPERVIOUS].surface
    np.testing.assert_allclose(street.colour, LOOKS[IMPERVIOUS].colour, rtol=0.4)
    assert mark is draft.items[1]


def test_the_command_passes_ambiguity_on_and_says_so(tmp_path, monkeypatch):
    options = ('--size', '40', '--gsd', '0.5', '--tiles', '2_10')
    run_tool(monkeypatch, 'make_synthetic_isprs.py', tmp_path, *options, '--ambiguity', '0.25')
    with rasterio.open(tmp_path / '2_Ortho_RGB/top_potsdam_2_10_RGB.tif') as raster:
        written = np.moveaxis(raster.read(), 0, -1)
    expected = make_tile('2_10', (40, 40), gsd=0.5, ambiguity=0.25).image[..., :3]
    np.testing.assert_array_equal(written, expected)
    assert 'Ambiguity: 0.25' in (tmp_path / 'README.txt').read_text()


@pytest.mark.parametrize('ambiguity', [-0.1, 1.5, float('nan')])
def test_an_ambiguity_beyond_0_to_1_is_refused(tmp_path, ambiguity):
    with pytest.raises(ValueError, match='ambiguity is'):
        write_archive(tmp_path / 'out', ['2_10'], size=32, ambiguity=ambiguity)
