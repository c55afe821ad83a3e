"""What several files of the project say alike: versions, Pythons, tools, commands."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from scenes.paths import ROOT

import mobanet_mmseg
from mobanet_cli.commands import find_tools

# chosen by extras, and not tested beside OpenMMLab's
FORKS = {'onedl-mmengine', 'onedl-mmcv', 'onedl-mmsegmentation', 'onedl-mmpretrain'}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def requirements(path) -> list[Requirement]:
    lines = (line.partition('#')[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line]


def pins() -> dict[str, str]:
    listed = requirements(ROOT / 'requirements' / 'tested.txt')
    return {canonicalize_name(each.name): str(each.specifier)[2:] for each in listed}


def test_every_file_gives_the_version_of_the_package():
    version = mobanet_mmseg.__version__
    assert f"version='{version}'" in read('setup.py')
    assert yaml.safe_load(read('CITATION.cff'))['version'] == version
    assert re.search(r'^## (\S+)', read('CHANGELOG.md'), re.MULTILINE)[1] == version


def test_every_file_names_the_same_pythons():
    job = yaml.safe_load(read('.github/workflows/test.yml'))['jobs']['test']
    pythons = job['strategy']['matrix']['python']
    setup = read('setup.py')
    assert re.findall(r'Python :: (3\.\d+)', setup) == pythons
    allowed = SpecifierSet(re.search(r"python_requires='(.*)'", setup)[1])
    assert [minor for minor in range(8, 20) if f'3.{minor}' in allowed] == [
        int(python.partition('.')[2]) for python in pythons
    ]
    asked = re.search(r'for p in (.*) python3;', read('Makefile'))[1]
    assert asked.split() == [f'python{python}' for python in pythons]
    for name in ('Makefile', 'README.md'):
        assert f'Python {", ".join(pythons[:-1])} or {pythons[-1]}' in read(name)


def test_the_hosted_workflow_runs_what_ci_runs():
    workflow = yaml.safe_load(read('.github/workflows/test.yml'))
    assert set(workflow[True]) == {'push', 'pull_request'}  # YAML's `on`
    steps = workflow['jobs']['test']['steps']
    assert [step for step in steps if step.get('run') == 'bash .ci/run']
    assert 'make lint test' in read('.ci/run')
    assert [step for step in workflow['jobs']['docs']['steps'] if step.get('run') == 'make docs']
    steps = [step for job in workflow['jobs'].values() for step in job['steps']]
    assert all(
        re.fullmatch(r'[\w-]+/[\w-]+@v\d+', step['uses']) for step in steps if 'uses' in step
    )


@pytest.mark.parametrize('path', sorted(ROOT.glob('.github/ISSUE_TEMPLATE/*.yml')), ids=str)
def test_an_issue_form_has_what_a_form_needs(path):
    form = yaml.safe_load(path.read_text())
    assert form['name'] and form['description']
    assert all(part['attributes']['label'] for part in form['body'])
    assert len({part['id'] for part in form['body']}) == len(form['body'])


def test_what_is_required_is_tested_in_an_exact_version_that_fits():
    tested = pins()
    for path in (ROOT / 'requirements').glob('*.txt'):
        for asked in requirements(path):
            if asked.name not in FORKS and path.name != 'tested.txt':
                assert asked.specifier.contains(tested[canonicalize_name(asked.name)]), asked


def test_hooks_before_a_commit_use_the_tested_ruff():
    hooks = yaml.safe_load(read('.pre-commit-config.yaml'))['repos'][0]['hooks']
    asked = [each for hook in hooks for each in hook.get('additional_dependencies', ())]
    assert asked.count(f'ruff=={pins()["ruff"]}') == 2
    assert all('==' in each for each in asked)


def test_the_container_installs_extras_that_there_are_and_starts_a_command():
    text = read('Dockerfile')
    for extra in re.search(r'/opt/mobanet\[(.*)\]', text)[1].split(','):
        assert f"'{extra}': requirements(" in read('setup.py')
        assert (ROOT / 'requirements' / f'{extra}.txt').is_file()
    assert text.splitlines()[-1] == 'CMD ["mobanet", "--help"]'


def test_the_changelog_names_commands_that_there_are():
    tools = {path.name for path in find_tools().values()}
    assert {*re.findall(r'`(\w+\.py)', read('CHANGELOG.md'))} <= tools
    for words in re.findall(r'`mobanet ((?:convert )?[\w-]+)', read('CHANGELOG.md')):
        assert words in find_tools()


def test_the_build_asks_for_setuptools_alone():
    build = tomllib.loads(read('pyproject.toml'))['build-system']
    assert build['build-backend'] == 'setuptools.build_meta'
    assert [Requirement(each).name for each in build['requires']] == ['setuptools']
