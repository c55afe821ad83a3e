"""The command `mobanet` runs the tools by their names; the distributions hold what it needs."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from scenes.paths import ROOT

from mobanet_cli import commands


@pytest.fixture
def kept_program(monkeypatch):
    """What a command changes of this process."""
    monkeypatch.setattr(sys, 'argv', sys.argv)
    monkeypatch.setitem(sys.modules, '__main__', sys.modules['__main__'])


def test_every_tool_has_a_command_that_says_what_it_does():
    tools = commands.find_tools()
    files = {path.resolve() for path in tools.values()}
    assert files == {*ROOT.glob('tools/**/*.py'), ROOT / 'demo' / 'run.py'}
    assert {'train', 'test', 'predict', 'check-data', 'convert isprs', 'config', 'demo'} <= {*tools}
    for path in tools.values():
        assert commands.summary(path)
        assert '.py' not in commands.summary(path), path


def test_the_list_of_commands_needs_no_pytorch():
    code = (
        'import sys; from mobanet_cli.commands import main; main([]); '
        'sys.exit(any(name in sys.modules for name in ("torch", "numpy", "mmengine")))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert '  mobanet train   ' in done.stdout
    assert 'Segment rasters' in done.stdout


def test_a_command_is_its_tool(kept_program, capsys):
    commands.main(['config', 'list'])
    assert 'mobanet/potsdam_dinov2_b.py\n' in capsys.readouterr().out
    with pytest.raises(SystemExit):
        commands.main(['config', 'copy'])
    assert 'usage: mobanet config copy' in capsys.readouterr().err


def test_converters_are_words_after_convert(capsys):
    commands.main(['convert'])
    shown = capsys.readouterr().out
    assert 'mobanet convert isprs' in shown
    assert 'mobanet train' not in shown


@pytest.mark.parametrize(
    ('words', 'sentence'),
    [
        (['trian'], 'no command `mobanet trian`. Is `mobanet train` meant?'),
        (['convert', 'iprs'], 'no command `mobanet convert iprs`. Is `mobanet convert isprs`'),
        (['xyz'], 'no command `mobanet xyz`. `mobanet --help` lists them.'),
    ],
)
def test_a_wrong_word_gets_a_sentence(words, sentence):
    with pytest.raises(SystemExit, match=sentence.replace('?', '\\?')):
        commands.main(words)


def setup(source: Path, *words: object) -> None:
    """Run a command of setuptools, offline."""
    command = [sys.executable, 'setup.py', '-q', *map(str, words)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_source_and_what_it_installs_hold_what_runs(tmp_path):
    left_out = shutil.ignore_patterns('.git', '.venv', 'data', 'work_dirs', 'tests', '__pycache__')
    checkout = shutil.copytree(ROOT, tmp_path / 'checkout', symlinks=True, ignore=left_out)
    setup(checkout, 'sdist', '-d', tmp_path / 'sdist')
    source = next((tmp_path / 'sdist').iterdir())
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter='data')
    unpacked = tmp_path / source.name.removesuffix('.tar.gz')
    setup(unpacked, 'build', '--build-lib', tmp_path / 'lib')
    inside = {
        path.relative_to(tmp_path / 'lib').as_posix() for path in (tmp_path / 'lib').rglob('*')
    }
    home = 'mobanet_mmseg/.mim'
    for folder in ('configs', 'tools', 'demo'):
        files = [path for path in (checkout / folder).rglob('*.*') if path.is_file()]
        assert {f'{home}/{path.relative_to(checkout).as_posix()}' for path in files} <= inside
    assert {f'{home}/model-index.yml', 'mobanet_mmseg/py.typed', 'mobanet_cli/py.typed'} <= inside
    assert 'mobanet_mmseg/conversion/dronedeploy_scenes.txt' in inside
    assert not any(name.startswith('tests') or name.endswith('.pyc') for name in inside)
    for words in ('--help', 'demo --help'):
        done = subprocess.run(
            [sys.executable, '-P', '-m', 'mobanet_cli', *words.split()],
            cwd=tmp_path,
            env={**os.environ, 'PYTHONPATH': str(tmp_path / 'lib')},
            capture_output=True,
            text=True,
            check=True,
        )
        assert 'demo' in done.stdout
    points = (unpacked / 'mobanet_mmseg.egg-info' / 'entry_points.txt').read_text()
    assert 'mobanet = mobanet_cli.commands:main' in points
