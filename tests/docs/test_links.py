"""Links and pictures of README and manual lead somewhere; every page is in the navigation."""

import re

import pytest
import yaml
from scenes.pages import PAGES, anchors, links, name_of
from scenes.paths import ROOT


class Navigation(yaml.SafeLoader):
    """Reads mkdocs.yml, whose tags name functions of plugins."""


Navigation.add_multi_constructor('tag:yaml.org,2002:python/', lambda *_: None)
MKDOCS = yaml.load((ROOT / 'mkdocs.yml').read_text(), Navigation)


@pytest.mark.parametrize('page', PAGES, ids=name_of)
def test_each_link_leads_to_a_file_and_a_heading_that_there_are(page):
    for link in links(page):
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or anchor in anchors(target), link


def entries(navigation) -> list[str]:
    if isinstance(navigation, str):
        return [navigation]
    parts = navigation.values() if isinstance(navigation, dict) else navigation
    return [entry for part in parts for entry in entries(part)]


def test_the_navigation_has_each_page_once():
    pages = [path.relative_to(ROOT / 'docs').as_posix() for path in ROOT.glob('docs/**/*.md')]
    named = entries(MKDOCS['nav'])
    outside = {entry.removeprefix('source/') for entry in named if entry.startswith('source/')}
    assert sorted(pages) == sorted(entry for entry in named if not entry.startswith('source/'))
    assert all((ROOT / path).is_file() for path in outside)


def test_the_api_has_each_folder_of_the_package():
    text = '\n'.join(path.read_text() for path in ROOT.glob('docs/api/*.md'))
    told = re.findall(r'^::: mobanet_mmseg\.(\w+)$', text, re.MULTILINE)
    folders = {path.parent.name for path in ROOT.glob('mobanet_mmseg/*/__init__.py')}
    modules = {path.stem for path in ROOT.glob('mobanet_mmseg/[!_]*.py')}
    assert folders <= {*told} <= folders | modules and len(told) == len({*told})


def test_a_page_has_one_title():
    for page in ROOT.glob('docs/**/*.md'):
        text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.MULTILINE | re.DOTALL)
        assert len(re.findall(r'^# ', text, re.MULTILINE)) == 1, page
