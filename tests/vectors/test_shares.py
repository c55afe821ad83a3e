import csv
import json
from pathlib import Path

import numpy as np
import pytest
from rasterio.crs import CRS
from rasterio.transform import Affine
from scenes.label_maps import CLASSES, YARD, write_label_map
from scenes.pairs import EAST, NORTH, square, write_polygons

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.rasters.label_maps import open_label_map
from mobanet_mmseg.vectors.shares import write_statistics, write_zones

CELLS = Affine(1, 0, EAST, 0, -1, NORTH)  # pixels of a metre, as scenes.pairs counts in


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def statistics(folder, **options):
    label_map = open_label_map(write_label_map(folder / 'map.tif', **options))
    write_statistics(folder / 'map_classes.csv', label_map)
    return table(folder / 'map_classes.csv')


def shares(folder, zones, **options):
    label_map = open_label_map(write_label_map(folder / 'map.tif', **options))
    count = write_zones(folder / 'map_zones.csv', label_map, zones)
    rows = table(folder / 'map_zones.csv')
    assert len(rows) == count
    return rows


def test_statistics_are_the_map_s_areas(tmp_path):
    ground, house, pond, none = statistics(tmp_path)
    assert ground == dict(
        zip(ground, ('0', 'ground', '20', '5.0', 'square metre', '66.666667'), strict=True)
    )
    assert (house['pixels'], house['area'], house['percent']) == ('9', '2.25', '30.0')
    assert (pond['pixels'], pond['area']) == ('1', '0.25')
    assert (none['class'], none['name'], none['pixels'], none['percent']) == (
        '255', 'no data', '5', '',
    )  # fmt: skip


def test_statistics_of_nothing_have_no_shares(tmp_path):
    rows = statistics(tmp_path, labels=np.full_like(YARD, 255))
    assert [row['percent'] for row in rows] == [''] * 4


def test_degrees_are_counted_in_square_metres(tmp_path):
    transform = Affine(1, 0, 13, 0, -1, 62)  # a degree north is half a degree at the equator
    rows = statistics(tmp_path, transform=transform, crs=CRS.from_epsg(4326))
    assert rows[1]['unit'] == 'square metre'
    assert float(rows[1]['area']) / 9 == pytest.approx(111_000**2 * np.cos(np.radians(59.5)), 0.02)


@pytest.mark.parametrize('to', [None, 'EPSG:4326'])
def test_shares_are_of_the_pixels_whose_centres_lie_in_a_zone(tmp_path, to):
    crs = 'urn:ogc:def:crs:EPSG::32633' if to is None else None
    zones = write_polygons(
        tmp_path,
        (square(1, 1, 4, 4), dict(name='yard', floors=2)),
        (square(2.4, 2.4, 7, 3.4), dict(name='row', floors=None)),  # over the first one, too
        (square(90, 0, 99, 9), dict(name='elsewhere', floors=0)),
        crs=crs,
        to=to,
    )
    yard, row, elsewhere = shares(tmp_path, zones, transform=CELLS)
    assert (yard['zone'], yard['zone_name'], yard['zone_floors']) == ('1', 'yard', '2')
    assert (yard['pixels'], yard['area'], yard['no_data']) == ('9', '9.0', '0')
    assert yard['percent_ground'] == '0.0'
    assert float(yard['percent_house']) == pytest.approx(800 / 9, abs=1e-5)
    assert (row['pixels'], row['no_data'], row['zone_floors']) == ('4', '1', '')
    assert (row['percent_ground'], row['percent_house'], row['percent_pond']) == (
        '25.0', '50.0', '25.0',
    )  # fmt: skip
    assert (elsewhere['pixels'], elsewhere['percent_ground']) == ('0', '')


def test_a_zone_that_is_read_in_parts_has_the_same_shares(tmp_path, monkeypatch):
    zones = write_polygons(tmp_path, (square(0.4, 0.4, 6.4, 4.4), dict(name='a')))
    whole = shares(tmp_path, zones, transform=CELLS)
    monkeypatch.setattr('mobanet_mmseg.rasters.windows.CHUNK_BYTES', 30)
    assert shares(tmp_path, zones, transform=CELLS) == whole


@pytest.mark.parametrize(
    ('corners', 'crs', 'said'),
    [
        (square(90, 0, 99, 9), 'EPSG:32633', 'have no overlap'),
        (square(0, 0, 9, 9), None, 'is in degrees'),
    ],
)
def test_zones_that_lie_elsewhere_are_refused(tmp_path, corners, crs, said):
    zones = write_polygons(tmp_path, (corners, {}), crs=crs)
    with pytest.raises(ValueError, match=said):
        shares(tmp_path, zones, transform=CELLS)
    assert not (tmp_path / 'map_zones.csv').exists()


def test_zones_of_a_map_without_a_crs_are_refused(tmp_path):
    zones = write_polygons(tmp_path, (square(0, 0, 9, 9), {}))
    with pytest.raises(ValueError, match=r'map\.tif has no CRS and .* has one'):
        shares(tmp_path, zones, transform=CELLS, crs=None)


@pytest.mark.parametrize('more', [dict(bbox=[0, 0, 1, 2, 2, 1]), dict(bbox='abcd'), {}])
def test_only_corners_say_where_a_zone_lies(tmp_path, more):
    zones = write_polygons(tmp_path, (square(1, 1, 4, 4), dict(tags={'ü': [1]}, half='\ud800')))
    content = json.loads(Path(zones).read_text())
    geometry = content['features'][0]['geometry']
    geometry |= more | {'geometry': {'type': 'Point', 'coordinates': [0, 0]}}
    geometry['coordinates'] = [[(*place, None) for place in geometry['coordinates'][0]]]
    Path(zones).write_text(json.dumps(content))
    (zone,) = shares(tmp_path, zones, transform=CELLS)
    assert (zone['pixels'], zone['zone_tags']) == ('9', '{"ü": [1]}')
    assert zone['zone_half'] == '\\ud800'  # half a pair, which is no text


def test_classes_of_one_name_keep_their_shares(tmp_path):
    classes = Classes(('tree', ' ', 'tree'), CLASSES.palette)
    zones = write_polygons(tmp_path, (square(1, 1, 4, 4), {}))
    (zone,) = shares(tmp_path, zones, transform=CELLS, classes=classes)
    assert float(zone['percent_tree_0']) == 0
    assert float(zone['percent_1']) + float(zone['percent_tree_2']) == pytest.approx(100)


def test_areas_in_large_units_are_not_rounded_away(tmp_path):
    degrees = Affine(1e-6, 0, 13, 0, -1e-6, 52)  # of which no CRS tells
    assert float(statistics(tmp_path, transform=degrees, crs=None)[0]['area']) == 20e-12
