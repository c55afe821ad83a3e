"""Finds the tools that lie beside the package, lists them, and runs one."""

import ast
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

PACKAGE = 'mobanet_mmseg'
CONVERTERS = 'dataset_converters'  # each is a word after `convert`


def resources() -> Path:
    """Give the folder of configs, tools and demo, where OpenMMLab's packages keep theirs."""
    return Path(find_spec(PACKAGE).origin).parent / '.mim'  # found, not imported


def find_tools() -> dict[str, Path]:
    """Give every tool by the words that call it, as in ``'convert isprs'``."""
    found = {'demo': resources() / 'demo' / 'run.py'}
    for path in (resources() / 'tools').glob('**/*.py'):
        name = path.stem.replace('_', '-')
        found[f'convert {name}' if path.parent.name == CONVERTERS else name] = path
    return dict(sorted(found.items()))


def summary(path: Path) -> str:
    """Say what a tool does: the first sentence of its description.

    Args:
        path: Its file.
    """
    text = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or ''
    return re.sub(r'(: (python )?\S+\.py\b.*|\.)$', '', text.partition('\n')[0])


def overview(tools: dict[str, Path]) -> str:
    """List commands, each with what it does.

    Args:
        tools: Some of :func:`find_tools`.
    """
    width = max(map(len, tools))
    lines = [f'  mobanet {words:<{width}}  {summary(path)}' for words, path in tools.items()]
    return '\n'.join(['usage: mobanet COMMAND ...', '', *lines, '', 'mobanet COMMAND --help'])


def main(words: Sequence[str] | None = None) -> None:
    """Run the tool that the first words name, as if its file were called with the rest.

    Args:
        words: The command line; None takes the program's own.
    """
    words = sys.argv[1:] if words is None else list(words)
    tools = find_tools()
    if words in ([], ['-h'], ['--help']):
        print(overview(tools))
    elif words == ['--version']:
        print(PACKAGE, version(PACKAGE))
    elif words in (['convert'], ['convert', '-h'], ['convert', '--help']):
        print(overview({name: path for name, path in tools.items() if name.startswith('convert ')}))
    else:
        count = 2 if words[0] == 'convert' else 1
        run(' '.join(words[:count]), words[count:], tools)


def run(name: str, arguments: Sequence[str], tools: dict[str, Path]) -> None:
    """Run a tool in this process.

    Args:
        name: The words that call it.
        arguments: What follows them.
        tools: All of :func:`find_tools`.
    """
    if name not in tools:
        near = get_close_matches(name, tools, n=1)
        hint = f' Is `mobanet {near[0]}` meant?' if near else ''
        sys.exit(f'error: there is no command `mobanet {name}`.{hint} `mobanet --help` lists them.')
    path = tools[name]
    module = ModuleType('__main__')
    module.__file__ = str(path)
    sys.modules['__main__'] = module  # where other processes look for what it defines
    sys.argv = [f'mobanet {name}', *arguments]
    exec(compile(path.read_bytes(), path, 'exec'), vars(module))
