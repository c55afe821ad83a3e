import json

import numpy as np
import pytest
import rasterio
import torch
from mmengine.registry import init_default_scope
from scenes.commands import run_tool
from scenes.inferencer import write_tiny_scene
from scenes.prediction import ROTATED, UTM
from scenes.rasters import read_raster, write_raster

from mobanet_mmseg.evaluation.gate_sums import GateSums
from mobanet_mmseg.experiments.gate_report import GateReport

TOOL = 'analysis_tools/gate_report.py'


def test_means_by_hand():
    """Class 0 has three pixels, class 1 one, class 2 none; one has no label and one no data."""
    weight = np.array([[[0.2, 0.4, 0.9], [0.6, 0.5, 0.0]]], np.float32)
    valid = np.array([[True, True, True], [True, True, False]])
    sums = GateSums.of_nothing(3, 1)
    sums.add(np.array([[0, 0, 1], [0, 255, 1]], np.uint8), valid, weight, weight / 2)
    assert sums.pixels.tolist() == [3, 1, 0]
    np.testing.assert_allclose(sums.means('weight')[:, 0], [0.4, 0.9, np.nan, 0.525], rtol=1e-6)
    np.testing.assert_allclose(sums.means('share')[:, 0], [0.2, 0.45, np.nan, 0.2625], rtol=1e-6)
    report = GateReport(('a', 'b', 'c'), {'one': sums, 'two': sums + sums})
    np.testing.assert_allclose(report.whole.means('weight'), sums.means('weight'))
    assert report.whole.pixels.tolist() == [9, 3, 0]
    assert report.table('weight').rows == [
        ('a', '40.0', '40.0', '9'),
        ('b', '90.0', '90.0', '3'),
        ('c', '-', '-', '0'),
        ('all', '52.5', '52.5', '12'),
    ]
    assert report.finding().endswith('from the most to the least: b 90.0, a 40.0.')
    records = report.records()
    assert len(records) == 3 * 4
    assert records[1] == {
        'tile': 'one', 'class': 'b', 'pixels': 1,
        'aux_weight_1': pytest.approx(90), 'aux_share_1': pytest.approx(45),
    }  # fmt: skip


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    """A toy MoBaNet whose gates are sigmoid(stage - 1), and labels of two of its three classes."""
    init_default_scope('mmseg')
    folder = tmp_path_factory.mktemp('gates')
    scene = write_tiny_scene(folder)
    content = torch.load(scene['model'][1], weights_only=True)
    for stage in range(4):
        content['state_dict'][f'neck.fusions.{stage}.gate.3.bias'] += stage - 1
    torch.save(content, scene['model'][1])
    labels = np.zeros((61, 95), np.uint8)
    labels[:20] = 1
    labels[50:] = 255
    scene['label'] = write_raster(folder / 'label.tif', labels, crs=UTM, transform=ROTATED)
    return scene


def report(patch, scene, out, *options):
    rgb, aux = scene['pair']
    arguments = [*scene['model'], '--rgb', rgb, '--aux', aux, '--out', out, '--device', 'cpu']
    run_tool(patch, TOOL, *arguments, *options)


def test_the_command_reports_draws_and_writes(scene, tmp_path, monkeypatch, capsys):
    report(monkeypatch, scene, tmp_path, '--label', scene['label'], '--geotiff')
    names = {path.name for path in tmp_path.iterdir()}
    files = {f'gates.{ending}' for ending in ('md', 'csv', 'json', 'png')}
    assert names == files | {'rgb_gates.png', 'rgb_gates.tif'}
    weights = 1 - torch.tensor([-1.0, 0.0, 1.0, 2.0]).sigmoid().numpy()
    records = json.loads((tmp_path / 'gates.json').read_text())
    assert [r['pixels'] for r in records[:4]] == [30 * 95, 20 * 95, 0, 50 * 95]
    for stage, weight in enumerate(weights, 1):
        for row in (0, 1, 3):
            assert records[row][f'aux_weight_{stage}'] == pytest.approx(100 * weight, abs=0.01)
    assert records[2]['aux_weight_1'] is None
    assert '| red | 73.1 | 50.0 | 26.9 | 11.9 | 40.5 | 2,850 |' in capsys.readouterr().out
    with rasterio.open(tmp_path / 'rgb_gates.tif') as file:
        assert (file.crs, file.transform, file.count) == (UTM, ROTATED, 4)
        assert file.descriptions[3] == 'weight of aux, stage 4'
        assert file.scales == (1 / 254,) * 4
    given = read_raster(tmp_path / 'rgb_gates.tif')
    valid = given[..., 0] != 255
    assert valid.mean() > 0.9
    np.testing.assert_array_equal(given[valid], np.tile(np.round(254 * weights), (valid.sum(), 1)))


def test_without_labels_the_tile_is_drawn_alone(scene, tmp_path, monkeypatch):
    report(monkeypatch, scene, tmp_path / 'new')
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['rgb_gates.png']


def test_a_folder_that_holds_what_is_read_is_refused(scene, monkeypatch):
    with pytest.raises(SystemExit, match='^error: .* which is written: give another folder'):
        report(monkeypatch, scene, scene['pair'][0].parent)
