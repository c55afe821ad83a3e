"""Commands that README and manual tell are there, take those flags, and name configs that are."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
from scenes.pages import PAGES, Command, commands, name_of
from scenes.paths import ROOT

from mobanet_cli.commands import find_tools
from mobanet_mmseg.configs import find_config

# made by the reader beside what a page shows
OWN = re.compile(r'mine|my_|CONFIG|^[abc]\.py$|^work_dirs/')


@cache
def tool(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def split(command: Command) -> tuple[Path, list[str]]:
    """A command's file and the words that follow."""
    first, *rest = command.words
    if first != 'mobanet':
        return ROOT / first, rest
    name = ' '.join(rest[: 2 if rest[0] == 'convert' else 1])
    assert name in find_tools(), command
    return find_tools()[name].resolve(), rest[len(name.split()) :]


class KnownError(Exception):
    """Carries a parser out of the tool that makes it."""


@cache
def flags(path: Path) -> set[str]:
    """All flags of a tool."""

    def stop(parser, *_):
        raise KnownError(parser)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('argparse.ArgumentParser.parse_args', stop)
        with pytest.raises(KnownError) as caught:
            tool(path).parse_args()
    return set(caught.value.args[0]._option_string_actions)


TOLD = [(name_of(page), command) for page in PAGES for command in commands(page)]


def test_enough_commands_are_found():
    assert len(TOLD) > 150
    assert sum(command.whole for _, command in TOLD) > 80


@pytest.mark.parametrize('page', sorted({page for page, _ in TOLD}))
def test_commands_of_a_page(page, monkeypatch):
    for _, command in (told for told in TOLD if told[0] == page):
        if command.words[0] == 'make':
            assert f'\n{command.words[1]}:' in (ROOT / 'Makefile').read_text(), command
            continue
        path, rest = split(command)
        assert path.is_file(), command
        if path.parent.name == 'demo':
            continue
        if path.suffix == '.sh':  # hands on what it does not take itself
            path = path.with_name(re.sub('(dist|slurm)_', '', path.stem) + '.py')
        elif command.whole:
            monkeypatch.setattr('sys.argv', [path.name, *rest])
            tool(path).parse_args()
        said = [word.split('=')[0] for word in [*rest, *command.comment.split()]]
        unknown = {word.strip('`,;:.)') for word in said if re.match(r'--\w', word)}
        assert not unknown - flags(path), command
        for word in rest:
            if word.endswith('.py') and not OWN.search(word):
                assert [*ROOT.glob(word)] or find_config(word), command
