import pytest

from mobanet_mmseg.classes import Classes


def test_names_and_colours_travel_together():
    classes = Classes.of({'classes': ['road', 'tree'], 'palette': [[1, 2, 3], [4, 5, 6]]})
    assert (len(classes), classes.names) == (2, ('road', 'tree'))
    assert classes.colour_table == {0: (1, 2, 3, 255), 1: (4, 5, 6, 255), 255: (0, 0, 0, 0)}
    assert classes.tags == {'CLASS_0': 'road', 'CLASS_1': 'tree'}


@pytest.mark.parametrize(('names', 'colours'), [(0, 0), (2, 1), (256, 256)])
def test_colours_that_do_not_fit_are_refused(names, colours):
    with pytest.raises(ValueError, match=f'{names} classes and {colours} colours'):
        Classes(['a'] * names, [[0, 0, 0]] * colours)


def test_a_colour_has_three_numbers():
    with pytest.raises(ValueError, match='a colour is three numbers, red, green, blue'):
        Classes(('a', 'b'), ((1, 2, 3), (1, 2, 3, 255)))
