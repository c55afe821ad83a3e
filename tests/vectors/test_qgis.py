from xml.etree import ElementTree

import pytest
from scenes.label_maps import CLASSES

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.vectors.qgis import DOCTYPE, polygon_style, raster_style

ODD = Classes(('a & b', '"<ü>"'), ((1, 2, 3), (255, 0, 16)))


@pytest.mark.parametrize('classes', [CLASSES, ODD])
def test_a_map_s_style_names_and_colours_each_value(classes):
    text = raster_style(classes)
    assert text.startswith(DOCTYPE)
    root = ElementTree.fromstring(text)
    assert root.tag == 'qgis'
    renderer = root.find('pipe/rasterrenderer')
    assert (renderer.get('type'), renderer.get('band')) == ('paletted', '1')
    entries = renderer.findall('colorPalette/paletteEntry')
    assert [entry.get('value') for entry in entries] == [str(i) for i in range(len(classes))]
    assert [entry.get('label') for entry in entries] == [*classes.names]
    assert [tuple(bytes.fromhex(e.get('color')[1:])) for e in entries] == [*classes.palette]


@pytest.mark.parametrize('classes', [CLASSES, ODD])
def test_polygons_have_the_same_names_and_colours(classes):
    renderer = ElementTree.fromstring(polygon_style(classes)).find('renderer-v2')
    assert (renderer.get('type'), renderer.get('attr')) == ('categorizedSymbol', 'class')
    categories = renderer.findall('categories/category')
    assert [category.get('label') for category in categories] == [*classes.names]
    fills = {
        symbol.get('name'): symbol.find("layer/prop[@k='color']").get('v')
        for symbol in renderer.findall('symbols/symbol')
    }
    for category, colour in zip(categories, classes.palette, strict=True):
        assert fills[category.get('symbol')] == ','.join(map(str, (*colour, 255)))
