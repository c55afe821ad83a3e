"""Which floor may import which, and docstrings that say no more than the code."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from scenes.paths import ROOT

PACKAGE = ROOT / 'mobanet_mmseg'
FILES = sorted(PACKAGE.rglob('*.py'))

# The floors, from the ground; a folder imports itself and what lies on the floors below.
FLOORS = (
    {'classes', 'writing'},
    {'compat', 'modalities', 'tiling', 'weights'},
    {'rasters', 'models'},
    {'datasets', 'evaluation', 'visualization'},
    {'inference', 'conversion', 'checks', 'engine', 'synthetic'},
)


def module_name(path: Path) -> str:
    return '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)


def own_imports(source: str) -> set[str]:
    """Folders of the package that a source imports, and ``'tools'`` or ``'demo'``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ''
            names = [alias.name for alias in node.names] if base == 'mobanet_mmseg' else ['']
            found |= {'relative'} if node.level else {f'{base}.{name}' for name in names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    own = {name.split('.')[1] for name in found if name.startswith('mobanet_mmseg.')}
    return own | ({name.split('.')[0] for name in found} & {'tools', 'demo', 'tests', 'relative'})


def misplaced(folder: str, source: str) -> set[str]:
    """What a source in a folder (or module) of the package imports although it may not."""
    floor = next(number for number, folders in enumerate(FLOORS) if folder in folders)
    return own_imports(source) - {folder}.union(*FLOORS[:floor])


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_imports_point_down(path):
    folder = module_name(path).split('.')[0]
    if folder != '__init__':
        assert not misplaced(folder, path.read_text())


@pytest.mark.parametrize(
    ('folder', 'source', 'wrong'),
    [
        ('rasters', 'from mobanet_mmseg.datasets.isprs import Source', {'datasets'}),
        ('rasters', 'from mobanet_mmseg import datasets', {'datasets'}),
        ('rasters', 'import mobanet_mmseg.models.mcrm', {'models'}),
        ('checks', 'def f():\n    from mobanet_mmseg.inference import pairs', {'inference'}),
        ('tiling', 'from ..models import mcrm', {'relative'}),
        ('engine', 'from tools.train import main', {'tools'}),
        ('engine', 'import tools', {'tools'}),
        ('engine', 'import demo.run', {'demo'}),
        ('engine', 'from mobanet_mmseg.rasters.files import read_info', set()),
        ('tiling', 'from mobanet_mmseg.tiling.windows import Tiling', set()),
    ],
)
def test_an_import_against_the_floors_is_found(folder, source, wrong):
    assert misplaced(folder, source) == wrong


def test_checkpoints_are_never_read_as_code():
    for path in [*FILES, *(ROOT / 'tools').rglob('*.py')]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == 'weights_only':
                assert getattr(node.value, 'value', None) is True, path


def documented_functions():
    """(name, signature's arguments, docstring's arguments) of all that has an Args section."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                functions = [n for n in node.body if isinstance(n, ast.FunctionDef)]
                init = next((f for f in functions if f.name == '__init__'), None)
                owners = [(node, init)] if init is not None else []
            elif isinstance(node, ast.FunctionDef):
                owners = [(node, node)]
            else:
                continue
            for owner, function in owners:
                doc = inspect.cleandoc(ast.get_docstring(owner) or '')
                section = re.search(r'^Args:\n((?: {4}.*\n?|\n)+)', doc, re.MULTILINE)
                if section is None:
                    continue
                documented = re.findall(r'^ {4}(\*{0,2}\w+):', section[1], re.MULTILINE)
                arguments = function.args
                signature = [a.arg for a in (*arguments.args, *arguments.kwonlyargs)]
                signature += [f'*{arguments.vararg.arg}'] if arguments.vararg else []
                signature += [f'**{arguments.kwarg.arg}'] if arguments.kwarg else []
                signature = [name for name in signature if name not in ('self', 'cls')]
                yield f'{module_name(path)}.{owner.name}', signature, documented


@pytest.mark.parametrize(
    ('name', 'signature', 'documented'),
    documented_functions(),
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_documented_arguments_are_the_signatures(name, signature, documented):
    ghosts = [argument for argument in documented if argument not in signature]
    assert not ghosts, f'{name} documents {ghosts}'
    missing = [a for a in signature if a not in documented and not a.startswith('*')]
    assert not missing, f'{name} does not document {missing}'


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_defaults_are_immutable(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                assert not isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call), node.name
