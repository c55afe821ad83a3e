"""Who may import whom, and docstrings that say no more than the code."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from conftest import ROOT

PACKAGE = ROOT / 'mobanet_mmseg'
FILES = sorted(PACKAGE.rglob('*.py'))

# Module or subpackage -> what of the package it may import; imports point one way.
MAY_IMPORT = {
    'compat': set(),
    'modalities': set(),
    'tiling': {'tiling'},
    'inference.pairs': set(),
    'models': {'modalities', 'models', 'tiling'},
    'rasters': {'modalities', 'rasters'},
    'datasets': {'modalities', 'rasters', 'datasets'},
    'conversion': {'modalities', 'rasters', 'datasets', 'conversion'},
    'evaluation': set(),
    'visualization': {'visualization'},
    'visualization.browse': {'visualization', 'models.mcrm'},
    'inference': {
        'modalities',
        'tiling',
        'rasters',
        'datasets',
        'inference',
        'models.checkpoints',
        'models.data_preprocessor',
    },
    'engine': {
        'rasters',
        'datasets',
        'inference',
        'visualization',
        'models.checkpoints',
        'models.data_preprocessor',
        'models.parameters',
        'models.tta',
        'engine',
    },
}
# Inside models: what a file knows of its siblings.
MODELS_MAY_IMPORT = {
    'checkpoints': {'weights'},
    'complexity': {'multimodal_vit', 'parameters'},
    'cpia': set(),
    'dgfm': set(),
    'mcrm': set(),
    'parameters': set(),
    'safetensors': set(),
    'weight_names': set(),
    'weights': {'safetensors', 'weight_names'},
    'vit': {'weights'},
    'dinov2': {'vit'},
    'sam': {'vit'},
    'encoders': {'dinov2', 'sam', 'vit'},
    'data_preprocessor': {'mcrm'},
    'multimodal_vit': {'cpia', 'encoders'},
    'segmentor': set(),
    'released': set(),
    'released_weights': {'weight_names', 'weights'},
    'tta': set(),
    'two_stream': set(),
}


def module_name(path: Path) -> str:
    return '.'.join(path.relative_to(PACKAGE).with_suffix('').parts)


def own_imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if base == 'mobanet_mmseg':
                found |= {alias.name for alias in node.names}
            elif base.startswith('mobanet_mmseg.'):
                found.add(base.removeprefix('mobanet_mmseg.'))
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix('mobanet_mmseg.')
                for alias in node.names
                if alias.name.startswith('mobanet_mmseg.')
            }
    return found


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_imports_point_one_way(path):
    name = module_name(path)
    if path.name == '__init__.py':
        pytest.skip('an __init__ gathers its subpackage')
    allowed = MAY_IMPORT.get(name, MAY_IMPORT.get(name.split('.')[0]))
    assert allowed is not None, f'{name} has no place in the design yet'
    for imported in own_imports(path):
        assert {imported, imported.split('.')[0]} & allowed, f'{name} imports {imported}'


@pytest.mark.parametrize('name', MODELS_MAY_IMPORT)
def test_a_file_of_models_knows_its_siblings_only(name):
    imported = own_imports(PACKAGE / 'models' / f'{name}.py')
    siblings = {module.split('.')[1] for module in imported if module.startswith('models.')}
    assert siblings <= MODELS_MAY_IMPORT[name]


def test_every_file_of_models_has_its_rule():
    names = {path.stem for path in (PACKAGE / 'models').glob('*.py')} - {'__init__'}
    assert names == set(MODELS_MAY_IMPORT)


def test_nothing_imports_tools():
    for path in FILES:
        assert 'tools' not in {module.split('.')[0] for module in own_imports(path)}


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
    missing = [a for a in signature if a not in documented and not a.startswith('**')]
    assert not missing, f'{name} does not document {missing}'


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_defaults_are_immutable(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            for default in (*node.args.defaults, *node.args.kw_defaults):
                assert not isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call), node.name
