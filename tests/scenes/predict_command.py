"""Runs tools/predict.py on the scene whose label map is known."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from scenes.commands import run_tool as run_any_tool


def run_tool(monkeypatch, scene, *options):
    model = (scene['config'], scene['checkpoint'], '--device', 'cpu')
    run_any_tool(monkeypatch, 'predict.py', *model, *options)


def predict(monkeypatch, scene, *options):
    pair = ('--rgb', scene['rgb'], '--aux', scene['aux'], '--out', scene['out'])
    run_tool(monkeypatch, scene, *pair, *options)


def fail(run, *arguments):
    """Run what fails; gives the sentences that it ends with."""
    with contextlib.redirect_stderr(io.StringIO()) as said, pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 1
    lines = [line for line in said.getvalue().splitlines() if line.startswith('error: ')]
    return [line.removeprefix('error: ') for line in lines]


def write_many(scene) -> Path:
    """Folders of three pairs a, b and c, each the scene's; b's optical raster is no raster."""
    folder = scene['out'].parent
    for name in 'abc':
        for kind in ('rgb', 'aux'):
            (folder / f'{kind}s').mkdir(exist_ok=True)
            shutil.copy(scene[kind], folder / f'{kind}s' / f'{name}.tif')
    (folder / 'rgbs' / 'b.tif').write_text('no raster')
    return folder
