"""The script that shows newcomers how to predict from Python, on rasters of toy size."""

import runpy
import sys

import cv2
import numpy as np
import pytest
from scenes.paths import ROOT
from scenes.prediction import ROTATED, UTM
from scenes.rasters import read_raster, write_raster

SCRIPT = ROOT / 'demo' / 'predict_from_python.py'


def run_script(monkeypatch, scene):
    arguments = [
        f'--{name}={scene[name]}' for name in ('config', 'checkpoint', 'rgb', 'aux', 'out')
    ]
    monkeypatch.setattr(sys, 'argv', ['predict_from_python.py', *arguments])
    runpy.run_path(str(SCRIPT), run_name='__main__')


def test_script_writes_maps_and_a_picture_and_says_the_shares(scene, monkeypatch, capsys):
    run_script(monkeypatch, scene)
    folder = scene['out'].parent
    assert np.array_equal(read_raster(scene['out']), scene['expected'])
    assert read_raster(folder / 'out_probabilities.tif').shape == (37, 53, 4)
    assert read_raster(folder / 'out_confidence.tif').shape == (37, 53)
    assert min(cv2.imread(str(folder / 'out.png')).shape[:2]) > 500
    said = capsys.readouterr().out
    for line in (
        'high',
        'green is likely on',
        '(37, 53) pixels in EPSG:32633',
        'agree on 100.0%',
        'out.png',
    ):
        assert line in said
    assert f'{np.mean(scene["expected"] == 3):.1%}' in said


def test_script_takes_heights_of_another_grid(scene, monkeypatch, capsys):
    coarse = read_raster(scene['aux'])[::2, ::2]
    place = {'crs': UTM, 'transform': ROTATED @ ROTATED.scale(2)}
    write_raster(scene['aux'], coarse, **place)
    run_script(monkeypatch, scene)
    assert read_raster(scene['out']).shape == (37, 53)
    assert 'agree on 100.0%' in capsys.readouterr().out


def test_script_without_the_demo_s_files_says_what_to_do(scene, monkeypatch):
    scene['checkpoint'].unlink()
    with pytest.raises(SystemExit, match=r'model\.pth does not exist: run `mobanet demo` here'):
        run_script(monkeypatch, scene)
