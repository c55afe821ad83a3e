"""Gives each file of the repository that a page links to a page of its own.

The pages of the manual link to configs and code as they lie in the repository, which is what a
reader on GitHub follows. In the manual such a file is a page below ``source/``.
"""

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS, SOURCE = 'docs/', 'source/'
FENCE = re.compile(r'(^ *(`{3,}|~{3,}).*?^ *\2[ \t]*$)', re.MULTILINE | re.DOTALL)
LINK = re.compile(r'(?<=\]\()(?!\w+:|#|/)([^)\s#]+)(#[^)\s]*)?(?=\))')
LANGUAGES = {'.py': 'python', '.yml': 'yaml', '.sh': 'bash', '.toml': 'toml'}
UNLISTED = '---\nsearch:\n  exclude: true\n---\n\n'  # what is said twice is found once
LEAD_THE_NAVIGATION = ('CHANGELOG.md', 'CONTRIBUTING.md', 'configs/mobanet/README.md')


def repository_path(page: str) -> str:
    """Say which file of the repository a page shows.

    Args:
        page: Path of the page in the manual.
    """
    if not page.startswith(SOURCE):
        return DOCS + page
    path = page.removeprefix(SOURCE)
    return path if (ROOT / path).is_file() else path.removesuffix('.md')


def page_of(path: str) -> str | None:
    """Say which page of the manual shows a file or folder of the repository.

    Args:
        path: Its path in the repository.

    Returns:
        Path of the page in the manual; None where there is no such file.
    """
    if path.startswith(DOCS):
        return path.removeprefix(DOCS)
    if (ROOT / path / 'README.md').is_file():
        path = f'{path}/README.md'
    if not (ROOT / path).exists():
        return None
    return SOURCE + (path if path.endswith('.md') else f'{path}.md')


def leads_to(link: str, page: str) -> str | None:
    """Say to which page a link of a page leads.

    Args:
        link: As it stands in the file that the page shows.
        page: Path of the page in the manual.
    """
    return page_of(posixpath.normpath(posixpath.join(repository_path(page), '..', link)))


def text_of(page: str) -> str:
    """Give the text of a page below ``source/``.

    Args:
        page: Path of the page in the manual.
    """
    name = repository_path(page)
    path = ROOT / name
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.is_file())
        listed = [f'- [`{file}`]({posixpath.basename(name)}/{file})' for file in files]
        return UNLISTED + '\n'.join([f'# `{name}/`', '', *listed])
    text = path.read_text(encoding='utf-8')
    if path.suffix == '.md':
        return text if name in LEAD_THE_NAVIGATION else UNLISTED + text
    if path.suffix == '.ipynb':
        return UNLISTED + notebook_page(text)
    language = LANGUAGES.get(path.suffix, 'text')
    return f'{UNLISTED}# `{name}`\n\n~~~~{language}\n{text.rstrip()}\n~~~~\n'


def notebook_page(text: str) -> str:
    """Lay a notebook out as a page: its text, its code, and what that said and drew.

    Args:
        text: The notebook, as it is saved.
    """
    parts = []
    for cell in json.loads(text)['cells']:
        source = ''.join(cell['source'])
        parts.append(f'~~~~python\n{source}\n~~~~' if cell['cell_type'] == 'code' else source)
        for output in cell.get('outputs', ()):
            if 'text' in output:
                parts.append(f'~~~~text\n{"".join(output["text"]).rstrip()}\n~~~~')
            for kind, content in output.get('data', {}).items():
                if kind.startswith('image/'):
                    parts.append(f'![What it drew](data:{kind};base64,{"".join(content).strip()})')
    return '\n\n'.join(parts)


def links_in(markdown: str) -> Iterator[str]:
    """Give the relative links of a text, those in its blocks of code left out.

    Args:
        markdown: The text.
    """
    for match in LINK.finditer(FENCE.sub('', markdown)):
        yield match[1]


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each file that a page links to, and for those that these link to."""
    left = [file.src_uri for file in files.documentation_pages()]
    left += [SOURCE + name for name in LEAD_THE_NAVIGATION]
    texts = {page: (ROOT / DOCS / page).read_text(encoding='utf-8') for page in left[:-3]}
    while left:
        page = left.pop()
        if page not in texts:
            texts[page] = text_of(page)
            named = repository_path(page) in LEAD_THE_NAVIGATION
            inclusion = InclusionLevel.INCLUDED if named else InclusionLevel.NOT_IN_NAV
            files.append(File.generated(config, page, content=texts[page], inclusion=inclusion))
        for link in links_in(texts[page]):
            other = leads_to(link, page)
            if other is not None and other.startswith(SOURCE) and other not in texts:
                left.append(other)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead the links of a page to pages of the manual."""
    here = page.file.src_uri

    def led(match: re.Match[str]) -> str:
        other = leads_to(match[1], here)
        if other is None or files.get_file_from_path(other) is None:
            return match[0]  # of which MkDocs warns
        return posixpath.relpath(other, posixpath.dirname(here) or '.') + (match[2] or '')

    parts = re.split(FENCE, markdown)  # text, fence, its mark, text ...
    parts[::3] = [LINK.sub(led, text) for text in parts[::3]]
    del parts[2::3]
    return ''.join(parts)
