"""What is made of label maps, by tools/analysis_tools/vectorize.py or while predicting."""

import csv
import shutil

import numpy as np
import pytest
from scenes.commands import run_tool
from scenes.label_maps import read_layer, write_label_map
from scenes.pairs import square, write_polygons
from scenes.predict_command import fail, predict, write_many
from scenes.predict_command import run_tool as run_predict

ALL = ('--polygons', '--style', '--statistics')
MADE = ('map.qml', 'map_classes.csv', 'map_polygons.gpkg', 'map_polygons.qml')


def vectorize(patch, *arguments):
    run_tool(patch, 'analysis_tools/vectorize.py', *arguments)


def sentence(patch, *arguments):
    with pytest.raises(SystemExit) as ended:
        vectorize(patch, *arguments)
    said = str(ended.value.code)
    assert said.startswith('error: ') and '\n' not in said
    return said


def test_files_lie_beside_the_map_and_are_named_after_it(tmp_path, monkeypatch, capsys):
    path = write_label_map(tmp_path / 'map.tif')
    vectorize(monkeypatch, path, *ALL)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted((*MADE, 'map.tif'))
    assert f'{tmp_path}/map_polygons.gpkg: 4 polygons\n' in capsys.readouterr().out


def test_several_maps_go_into_a_folder(tmp_path, monkeypatch):
    maps = [write_label_map(tmp_path / f'{name}.tif') for name in ('a', 'b')]
    vectorize(monkeypatch, *maps, '--statistics', '--out', tmp_path / 'new')
    made = sorted(file.name for file in (tmp_path / 'new').iterdir())
    assert made == ['a_classes.csv', 'b_classes.csv']
    (tmp_path / 'other').mkdir()
    shutil.copy(maps[0], tmp_path / 'other' / 'a.tif')
    twice = (maps[0], tmp_path / 'other' / 'a.tif', '--statistics', '--out', tmp_path / 'new')
    assert 'would be written twice' in sentence(monkeypatch, *twice)


def test_polygons_and_zones_have_their_names(tmp_path, monkeypatch, capsys):
    path = write_label_map(tmp_path / 'map.tif')
    zones = write_polygons(tmp_path, (square(0, 0, 2, 2), dict(id=7)))
    out = tmp_path / 'new' / 'roofs.gpkg'
    vectorize(monkeypatch, path, '--polygons', out, '--simplify', 1, '--zones', zones, '--style')
    assert read_layer(out)[0]['name'] == 'roofs'
    assert out.with_suffix('.qml').exists()
    assert 'map_zones.csv: 1 zones' in capsys.readouterr().out


def test_a_mistake_is_one_sentence(tmp_path, monkeypatch):
    path = write_label_map(tmp_path / 'map.tif')
    for arguments, said in (
        ((path,), 'Nothing is asked for: give --polygons'),
        ((path, '--statistics', '--simplify', 2), 'give --polygons too'),
        ((path, '--polygons', tmp_path / 'a.shp'), 'ending in .gpkg'),
        ((path, path, '--polygons', tmp_path / 'a.gpkg'), 'is the name for one map, but 2 came'),
        ((path, '--polygons', '--simplify', -1), 'give 0 or more'),
        ((path, '--zones', tmp_path / 'none.gpkg'), 'none.gpkg does not exist'),
        ((tmp_path / 'none.tif', '--style'), 'none.tif does not exist'),
        ((path, '--polygons', tmp_path), 'ending in .gpkg'),
        ((path, '--zones', path), 'is no vector file by its name: give one that ends in .geojson'),
        ((path, '--polygons', tmp_path / 'map.gpkg', '--style'), 'would be the style of both'),
    ):
        assert said in sentence(monkeypatch, *arguments)
    assert [file.name for file in tmp_path.iterdir()] == ['map.tif']


def test_prediction_makes_them_of_its_map(scene, monkeypatch, capsys):
    folder = scene['out'].parent
    predict(monkeypatch, scene, *ALL)
    made = [folder / file.replace('map', scene['out'].stem) for file in MADE]
    assert all(file.exists() for file in made)
    with made[1].open() as file:
        pixels = {row['class']: int(row['pixels']) for row in csv.DictReader(file)}
    for label in (0, 1, 255):
        assert pixels[str(label)] == np.sum(scene['expected'] == label)
    _, _, columns = read_layer(made[2])
    assert {*columns['class']} == {*np.unique(scene['expected'])} - {255}
    assert f'{made[2]}: {len(columns["class"])} polygons' in capsys.readouterr().out


def test_prediction_adds_to_a_map_what_is_not_there(scene, monkeypatch):
    predict(monkeypatch, scene)
    before = scene['out'].stat().st_mtime_ns
    predict(monkeypatch, scene, '--style', '--skip-existing')
    assert scene['out'].with_suffix('.qml').exists()
    assert scene['out'].stat().st_mtime_ns == before


def test_each_of_many_rasters_has_its_own(scene, monkeypatch):
    folder = write_many(scene)
    shutil.copy(scene['rgb'], folder / 'rgbs' / 'b.tif')
    pairs = ('--rgb', folder / 'rgbs', '--aux', folder / 'auxs', '--out', folder / 'maps')
    named = fail(run_predict, monkeypatch, scene, *pairs, '--polygons', 'a.gpkg')
    assert 'is the name for one map, but 3 came' in named[0]
    run_predict(monkeypatch, scene, *pairs, '--statistics')
    made = sorted(file.name for file in (folder / 'maps').glob('*.csv'))
    assert made == ['a_classes.csv', 'b_classes.csv', 'c_classes.csv']


@pytest.mark.parametrize('name', ['a!b', 'bashrc;b', 'a\nb', 'a\udcff'])
def test_polygons_are_written_where_they_are_asked_for_or_not_at_all(tmp_path, monkeypatch, name):
    pytest.importorskip('pyogrio', reason='the extra "vector" is not installed')
    monkeypatch.chdir(tmp_path)
    path = write_label_map(tmp_path / 'map.tif')
    (tmp_path / '.bashrc').write_text('mine')  # pyogrio cuts a name at ; and a hidden part has a .
    for out in (f'{name}.gpkg', f'{name}/map.gpkg'):
        if out != 'bashrc;b/map.gpkg':  # of folders only ! leads elsewhere
            said = sentence(monkeypatch, path, '--polygons', out)
            assert 'another file (such as ! or ;): give it another name' in said
    assert (tmp_path / '.bashrc').read_text() == 'mine'
    assert sorted(file.name for file in tmp_path.iterdir()) == ['.bashrc', 'map.tif']


@pytest.mark.parametrize('name', ['[1]', '-x', 'gpkg_x', 'sqlite_x'])
def test_a_map_may_have_a_name_that_no_layer_may_have(tmp_path, monkeypatch, name):
    vectorize(monkeypatch, write_label_map(tmp_path / f'{name}.tif'), '--polygons')
    assert read_layer(tmp_path / f'{name}_polygons.gpkg')[0]['name'] == f'map_{name}_polygons'


def test_zones_that_lie_elsewhere_do_not_cost_the_polygons(tmp_path, monkeypatch):
    path = write_label_map(tmp_path / 'map.tif')
    zones = write_polygons(tmp_path, (square(90, 0, 99, 9), {}))
    assert 'have no overlap' in sentence(monkeypatch, path, *ALL, '--zones', zones)
    assert {*MADE} < {file.name for file in tmp_path.iterdir()}
