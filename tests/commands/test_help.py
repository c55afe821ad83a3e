"""Tools say what they take before they import what that takes, in the words of the package."""

import ast
import importlib
import json
import runpy
import subprocess
import sys

import pytest
from scenes.commands import run_tool
from scenes.paths import ROOT

from mobanet_mmseg.conversion.isprs import ARCHIVES
from mobanet_mmseg.conversion.raster_pair import Cutting
from mobanet_mmseg.datasets.isprs import ISPRSPotsdamDataset
from mobanet_mmseg.engine.precision import PRECISIONS
from mobanet_mmseg.evaluation.calibration import NUM_BINS
from mobanet_mmseg.experiments.degradation import LEVELS
from mobanet_mmseg.experiments.networks import NETWORKS
from mobanet_mmseg.experiments.protocols import DATA, OWN
from mobanet_mmseg.experiments.speed import SECTIONS
from mobanet_mmseg.inference.calibration import NUM_PIXELS
from mobanet_mmseg.models.degradation import BLOCK, UNITS
from mobanet_mmseg.synthetic import BANDS

TOOLS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('tools/**/*.py'))
ASK_ALL = """
import contextlib, io, json, runpy, sys, time
found = {}
for tool in sys.argv[1:]:
    sys.argv, start = [tool, '--help'], time.process_time()
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        runpy.run_path(tool, run_name='__main__')
    found[tool] = said.getvalue(), time.process_time() - start
stack = [name for name in ('torch', 'numpy', 'mmengine', 'mobanet_mmseg') if name in sys.modules]
print(json.dumps([found, stack]))
"""


def test_help_of_each_tool_comes_at_once_and_imports_no_stack():
    done = subprocess.run(
        [sys.executable, '-c', ASK_ALL, *TOOLS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found, stack = json.loads(done.stdout)
    assert not stack
    for tool, (said, seconds) in found.items():
        assert said.startswith('usage: '), tool
        assert seconds < 0.5, tool


@pytest.mark.parametrize('tool', TOOLS)
def test_what_a_tool_imports_after_its_arguments_is_there(tool):
    for node in ast.walk(ast.parse((ROOT / tool).read_text())):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            assert not [each.name for each in node.names if not hasattr(module, each.name)]


def parsed(monkeypatch, tool, *words):
    """The constants of a tool, and what it makes of some words."""
    monkeypatch.setattr(sys, 'argv', [tool, *words])
    names = runpy.run_path(str(ROOT / 'tools' / tool), run_name='tool')
    return names, vars(names['parse_args']())


def test_tools_repeat_the_names_and_defaults_of_the_package(monkeypatch):
    analysis = 'analysis_tools'
    names, _ = parsed(monkeypatch, 'train.py', 'c')
    assert names['PRECISIONS'] == PRECISIONS
    names, _ = parsed(monkeypatch, f'{analysis}/benchmark.py', 'c')
    assert names['SECTIONS'] == SECTIONS
    names, _ = parsed(monkeypatch, 'benchmark_table.py', '--data', 'city')
    assert names['DATA'] == (*DATA, OWN)
    assert names['ROWS'].split(', ') == [network.key for network in NETWORKS]
    names, args = parsed(monkeypatch, f'{analysis}/degradation.py', 'c', 'm')
    assert (names['KINDS'], args['block']) == (tuple(UNITS), BLOCK)
    for kind, unit in UNITS.items():
        assert (
            f'{kind}={",".join(f"{level:g}" for level in LEVELS[kind])} ({unit})'
            in (names['LEVELS'])
        )
    _, args = parsed(monkeypatch, f'{analysis}/calibrate.py', 'c', 'm')
    assert (args['bins'], args['pixels']) == (NUM_BINS, NUM_PIXELS)
    _, args = parsed(monkeypatch, f'{analysis}/modality_report.py', 'c', 'm')
    assert args['block'] == BLOCK
    names, _ = parsed(monkeypatch, 'make_synthetic_isprs.py', 'out')
    assert names['BANDS'] == tuple(sorted(BANDS))
    tiles = ISPRSPotsdamDataset
    counts = len(tiles.TRAIN_TILES), len(tiles.TEST_TILES)
    assert (names['TRAIN_TILES'], names['TEST_TILES']) == counts
    pair = ('--rgb', 'a', '--aux', 'b', '--out', 'c')
    _, args = parsed(monkeypatch, 'dataset_converters/raster_pair.py', *pair)
    assert {name: args[name] for name in vars(Cutting())} == vars(Cutting())
    for archive in ARCHIVES:
        parsed(monkeypatch, 'dataset_converters/isprs.py', archive, 'in', '--out', 'out')


@pytest.mark.parametrize(
    ('setting', 'sentence'),
    [
        ('model', "--cfg-options got 'model': give key=value, without spaces"),
        ('=5', "--cfg-options got '=5': give key=value, without spaces"),
        ('a=[(1,2]', 'Imbalanced brackets'),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(monkeypatch, capsys, setting, sentence):
    with pytest.raises(SystemExit) as ended:
        run_tool(monkeypatch, 'train.py', 'config.py', '--cfg-options', 'b=1', setting)
    assert ended.value.code == 2
    assert sentence in capsys.readouterr().err
