import numpy as np
import pytest
from mmengine.registry import init_default_scope
from PIL import Image
from scenes.commands import run_tool
from scenes.inferencer import write_tiny_scene
from scenes.prediction import ROTATED, UTM
from scenes.rasters import write_raster

from mobanet_mmseg.experiments.response_report import find_region
from mobanet_mmseg.visualization import responses

TOOL = 'analysis_tools/response_maps.py'


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    init_default_scope('mmseg')
    folder = tmp_path_factory.mktemp('responses')
    labels = np.ones((61, 95), np.uint8)
    labels[:30] = 0
    label = write_raster(folder / 'label.tif', labels, crs=UTM, transform=ROTATED)
    return {**write_tiny_scene(folder), 'label': label}


def draw(patch, scene, *options, runs=('one', 'two'), name='green'):
    patch.setattr(responses, 'DPI', 50)
    rgb, aux = scene['pair']
    for run in runs:
        options = ('--run', run, *scene['model'], *options)
    rasters = ('--rgb', rgb, '--aux', aux, '--class', name, '--device', 'cpu')
    run_tool(patch, TOOL, *rasters, *options)


def test_checkpoints_are_drawn_side_by_side_and_counted(scene, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'new' / 'green.png'
    draw(monkeypatch, scene, '--label', scene['label'], '--out', out, '--stage', '2')
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith('| ')]
    assert 'rgb of both streams | aux of both streams' in table[0]
    one, two = (line.split(' | ')[1:] for line in table[2:])
    assert one == two
    assert sum(float(cell.rstrip(' |')) for cell in one[3:]) == pytest.approx(100, abs=0.11)
    with Image.open(out) as picture:
        both = picture.size
        assert len(picture.getcolors(2**24)) > 1000
    draw(monkeypatch, scene, '--out', out, '--region', '10', '20', '30', '50', runs=['one'])
    with Image.open(out) as picture:
        assert picture.size[1] < both[1]


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (('--stage', '5'), 'Stage 5 of the 4 maps of the fused branch'),
        (('--region', '0', '0', '62', '20'), r'The region \(0, 0, 62, 20\) .* is not within the'),
        (('--label', 'missing.tif'), 'missing.tif'),
    ],
)
def test_what_does_not_fit_is_one_sentence(scene, tmp_path, monkeypatch, options, sentence):
    with pytest.raises(SystemExit, match=f'^error: .*{sentence}'):
        draw(monkeypatch, scene, '--out', tmp_path / 'a.png', *options, runs=['one'])
    assert not list(tmp_path.iterdir())


def test_classes_and_names_are_checked(scene, tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="no class 'car'"):
        draw(monkeypatch, scene, '--out', tmp_path / 'a.png', name='car')
    with pytest.raises(SystemExit, match='Two runs have one name'):
        draw(monkeypatch, scene, '--out', tmp_path / 'a.png', runs=['one', 'one'])


def test_a_region_is_all_of_the_raster_unless_it_is_given(scene):
    assert find_region(scene['pair'][0], None) == (0, 0, 61, 95)
    assert find_region(scene['pair'][0], (1, 2, 60, 93)) == (1, 2, 60, 93)
