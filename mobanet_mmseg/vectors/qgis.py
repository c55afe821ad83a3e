"""Styles of QGIS: the classes of a label map, or of its polygons, with their names and colours.

Source: QGIS User Guide, appendix "QGIS File Formats" (QML). What a style leaves out, QGIS sets.
"""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from mobanet_mmseg.classes import Classes

DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
VERSION = '3.22.0'  # of the QGIS whose names these are


def raster_style(classes: Classes) -> str:
    """Write the style of a label map: one entry for each class.

    Args:
        classes: Its classes.
    """
    root = Element('qgis', version=VERSION, styleCategories='Symbology')
    pipe = SubElement(root, 'pipe')
    renderer = SubElement(
        pipe, 'rasterrenderer', type='paletted', band='1', opacity='1', alphaBand='-1'
    )
    palette = SubElement(renderer, 'colorPalette')
    for index, (name, colour) in enumerate(zip(classes.names, classes.palette, strict=True)):
        entry = {'value': str(index), 'label': name, 'alpha': '255'}
        SubElement(palette, 'paletteEntry', color='#{:02x}{:02x}{:02x}'.format(*colour), **entry)
    return _document(root)


def polygon_style(classes: Classes) -> str:
    """Write the style of a layer of polygons, told by the attribute ``class``.

    Args:
        classes: The classes of the map that they are from.
    """
    root = Element('qgis', version=VERSION, styleCategories='Symbology')
    renderer = SubElement(
        root, 'renderer-v2', type='categorizedSymbol', attr='class', symbollevels='0'
    )
    categories = SubElement(renderer, 'categories')
    symbols = SubElement(renderer, 'symbols')
    for index, (name, colour) in enumerate(zip(classes.names, classes.palette, strict=True)):
        number = str(index)
        SubElement(categories, 'category', value=number, symbol=number, label=name, render='true')
        symbol = SubElement(symbols, 'symbol', type='fill', name=number, alpha='1')
        fill = SubElement(symbol, 'layer', {'class': 'SimpleFill', 'enabled': '1', 'pass': '0'})
        colours = ','.join(map(str, (*colour, 255)))
        for key, value in (('color', colours), ('style', 'solid'), ('outline_style', 'no')):
            SubElement(fill, 'prop', k=key, v=value)
    return _document(root)


def _document(root: Element) -> str:
    ElementTree.indent(root)
    return DOCTYPE + ElementTree.tostring(root, encoding='unicode') + '\n'
