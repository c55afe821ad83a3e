"""The cells of the notebook run one after the other on a toy city; what they said is saved."""

import json
import re
import shlex
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from scenes.commands import forget_commands
from scenes.paths import ROOT
from scenes.rasters import read_raster

from mobanet_cli import commands

NOTEBOOK = ROOT / 'demo' / 'mobanet_demo.ipynb'
CELLS = [
    (cell, ''.join(cell['source'])) for cell in json.loads(NOTEBOOK.read_text('utf-8'))['cells']
]
CODE = [(cell, source) for cell, source in CELLS if cell['cell_type'] == 'code']
TEXT = '\n'.join(source for cell, source in CELLS if cell['cell_type'] == 'markdown')
SAVED = [output for cell, _ in CODE for output in cell['outputs']]
SAID = ''.join(line for output in SAVED for line in output.get('text', ()))
TOY = {'--size 512': '--size 160', 'num_steps = 400': 'num_steps = 1'}


@pytest.fixture
def run_cell(tmp_path, monkeypatch):
    """Runs cells as Jupyter does, in a folder; what filters a command's output is left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', sys.argv)
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])
    names = {}

    def run(source: str) -> None:
        first, _, rest = source.partition('\n')
        magic, *words = first.partition(' | ')[0].split(maxsplit=1)
        if magic == '!mobanet':
            forget_commands(monkeypatch)
            commands.main(shlex.split(words[0]))
        elif magic == '%%writefile':
            Path(words[0]).write_text(rest)
        else:
            exec(rest if magic == '%config' else source, names)

    return run


def test_the_cells_run_one_after_the_other(run_cell, tmp_path, monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(plt, 'show', lambda: shown.append(plt.gcf()) or plt.close('all'))
    code = '\0'.join(source for _, source in CODE)
    for full, toy in TOY.items():
        assert code.count(full) == 1
        code = code.replace(full, toy)
    for source in code.split('\0'):
        run_cell(source)
    assert read_raster(tmp_path / 'map.tif').shape == (160, 160)
    assert len(shown) == 4
    said = capsys.readouterr().out
    assert said.count('of the pixels are right') == 2
    for line in ('The auxiliary image is worth', 'EPSG:32633', 'Weight of aux'):
        assert line in said


def test_it_is_saved_as_it_ran_without_what_is_the_machine_s():
    assert [cell['execution_count'] for cell, _ in CODE] == list(range(1, len(CODE) + 1))
    assert all(cell['outputs'] for cell, _ in CODE)
    assert not any(output['output_type'] == 'error' for output in SAVED)
    assert sum('image/jpeg' in output.get('data', {}) for output in SAVED) == 4
    assert not re.search(r'/(home|root|tmp|usr|work)/|[\x1b\r━]', SAID)
    assert NOTEBOOK.stat().st_size < 600_000


def test_its_text_tells_what_was_said_and_links_what_there_is():
    told = re.findall(r'(?<![\d.])\d+\.\d+\b', TEXT.replace('Python 3.11, 3.12 or 3.13', ''))
    assert told and not [number for number in told if number not in SAID]
    links = re.findall(r'\]\((.*?)\)', TEXT)
    assert links and all((NOTEBOOK.parent / link).is_file() for link in links)
