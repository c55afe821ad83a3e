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
    {'classes', 'installation', 'launchers', 'signatures', 'writing'},
    {'configs', 'downloads', 'folders', 'mistakes'},
    {'compat', 'modalities', 'tiling', 'weights'},
    {'rasters', 'models'},
    {'datasets', 'evaluation', 'visualization', 'vectors'},
    {'inference', 'conversion', 'checks', 'engine', 'synthetic'},
    {'experiments'},
    {'commands'},
)


LONG: set[str] = set()  # files that have one reason to change and more than 400 lines


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
        ('engine', 'from mobanet_mmseg.experiments.runs import Run', {'experiments'}),
        ('experiments', 'from mobanet_mmseg.engine.runner import SafeRunner', set()),
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


def arguments_of(node: ast.ClassDef | ast.FunctionDef) -> dict[str, bool] | None:
    """Arguments of a function or a class and whether each has to be documented.

    Those of a record are its fields; None are those of a class that inherits them.
    """
    if isinstance(node, ast.ClassDef):
        inits = [part for part in node.body if getattr(part, 'name', '') == '__init__']
        if not inits:
            marks = ' '.join(map(ast.unparse, [*node.decorator_list, *node.bases]))
            if 'dataclass' not in marks and 'NamedTuple' not in marks:
                return None
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            return {part.target.id: 'field(' not in ast.unparse(part) for part in fields}
        node = inits[0]
    names = dict.fromkeys((a.arg for a in (*node.args.args, *node.args.kwonlyargs)), True)
    rest = {'*': node.args.vararg, '**': node.args.kwarg}
    names |= {f'{stars}{given.arg}': False for stars, given in rest.items() if given}
    return {name: needed for name, needed in names.items() if name not in ('self', 'cls')}


def wrongly_documented(source: str) -> list[str]:
    """What a source documents although it is no argument, or does not document although it is."""
    wrong = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        doc = inspect.cleandoc(ast.get_docstring(node) or '')
        section = re.search(r'^Args:\n((?: {4}.*\n?|\n)+)', doc, re.MULTILINE)
        arguments = arguments_of(node)
        if section is None or arguments is None:
            continue
        documented = re.findall(r'^ {4}(\*{0,2}\w+):', section[1], re.MULTILINE)
        ghosts = [name for name in documented if name not in arguments]
        absent = [name for name, needed in arguments.items() if needed and name not in documented]
        wrong += [f'{node.name}: {name}' for name in (*ghosts, *absent)]
    return wrong


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_documented_arguments_are_the_signatures(path):
    assert not wrongly_documented(path.read_text())


@pytest.mark.parametrize(
    ('source', 'wrong'),
    [
        (
            'def f(a):\n    """Do.\n\n    Args:\n        a: First.\n        b: Ghost.\n    """',
            ['f: b'],
        ),
        ('def f(a, *, b=1):\n    """Do.\n\n    Args:\n        a: First.\n    """', ['f: b']),
        (
            'class C:\n    """C.\n\n    Args:\n        b: Ghost.\n    """\n\n'
            '    def __init__(self, a, **kwargs): ...',
            ['C: b', 'C: a'],
        ),
        ('def f(a):\n    """Do.\n\n    Args:\n        a: First.\n    """', []),
        (
            '@dataclass\nclass D:\n    """D.\n\n    Args:\n        b: B.\n    """\n\n    a: int',
            ['D: b', 'D: a'],
        ),
        ('def f(a):\n    """Do something with a."""', []),
    ],
)
def test_a_ghost_among_the_documented_arguments_is_found(source, wrong):
    assert wrongly_documented(source) == wrong


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_defaults_are_immutable(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                assert not isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call), node.name


def test_no_file_is_too_long_to_be_one():
    long = {module_name(path): len(path.read_text().splitlines()) for path in FILES}
    assert not {name: lines for name, lines in long.items() if lines > 400 and name not in LONG}
