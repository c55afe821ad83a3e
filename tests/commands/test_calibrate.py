"""tools/analysis_tools/calibrate.py, and tools/predict.py with what it writes."""

import csv
import json

import cv2
import pytest
import torch
from scenes.calibration import TEMPERATURE, write_calibration
from scenes.commands import run_tool
from scenes.rasters import read_raster

TOOL = 'analysis_tools/calibrate.py'


@pytest.fixture(scope='module')
def one_tile(tmp_path_factory):
    folder = tmp_path_factory.mktemp('one_tile')
    write_calibration(folder, 'a')
    return folder


def predict(monkeypatch, folder, checkpoint, out):
    pair = ('--rgb', folder / 'img/a.tif', '--aux', folder / 'aux/a.tif')
    maps = ('--confidence', '--device', 'cpu', '--out', folder / out)
    run_tool(monkeypatch, 'predict.py', folder / 'trained.py', checkpoint, *pair, *maps)
    confidence = out.replace('.tif', '_confidence.tif')
    return (folder / out).read_bytes(), read_raster(folder / confidence) / 254


def test_confidence_that_is_written_and_predicted(tmp_path, monkeypatch, capsys):
    write_calibration(tmp_path)
    monkeypatch.chdir(tmp_path)
    model = ('trained.py', 'trained.pth', '--device', 'cpu')
    run_tool(monkeypatch, TOOL, *model, '--out', 'calibrated.pth', '--report', 'report')
    text = (tmp_path / 'report/calibration.md').read_text()
    shown = capsys.readouterr().out
    assert text in shown
    assert '(val), modality both, tta none' in text
    numbers = json.loads((tmp_path / 'report/calibration.json').read_text())
    assert numbers['temperature'] == pytest.approx(TEMPERATURE, rel=0.05)
    assert numbers['after']['ECE'] < 2.5 < 8 < numbers['before']['ECE']
    with (tmp_path / 'report/calibration.csv').open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 15
    assert sum(int(row['count']) for row in rows[:15]) == numbers['before']['pixels']
    assert cv2.imread(str(tmp_path / 'report/reliability.png')).shape[2] == 3
    assert not [path for path in tmp_path.rglob('*') if path.name.endswith('.part')]

    labels, before = predict(monkeypatch, tmp_path, 'trained.pth', 'before.tif')
    mended, after = predict(monkeypatch, tmp_path, 'calibrated.pth', 'after.tif')
    assert mended == labels
    truth = read_raster(tmp_path / 'label/a.tif')
    here = truth != 255
    right = (read_raster(tmp_path / 'after.tif') == truth)[here].mean()
    assert abs(after[here].mean() - right) < 0.02 < 0.08 < abs(before[here].mean() - right)
    meta = torch.load(tmp_path / 'calibrated.pth', weights_only=True)['meta']
    assert meta['temperature'] == numbers['temperature']


@pytest.mark.parametrize(
    ('options', 'sentence'),
    [
        (('--bins', '0'), '--bins got 0'),
        (('--pixels', '-1'), '--pixels got -1'),
        (('--report', 'r', '--check', 'none'), '--report tells what was checked'),
        ((), '.*a.tif is the one tile to fit and to check on'),
        (('--out', 'trained.pth'), 'trained.pth would be written over'),
        (('--out', 'label/a.tif'), 'label/a.tif would be written over'),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(one_tile, monkeypatch, options, sentence):
    monkeypatch.chdir(one_tile)
    before = {path: path.read_bytes() for path in one_tile.rglob('*') if path.is_file()}
    with pytest.raises(SystemExit, match=f'^error: {sentence}'):
        run_tool(monkeypatch, TOOL, 'trained.py', 'trained.pth', '--device', 'cpu', *options)
    assert {path: path.read_bytes() for path in one_tile.rglob('*') if path.is_file()} == before
