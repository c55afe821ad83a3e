"""The manual's pages: what they link, which commands they tell."""

import re
import shlex
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from scenes.paths import ROOT

PAGES = sorted(
    [
        *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')),
        *ROOT.glob('docs/**/*.md'),
        *ROOT.glob('configs/**/README.md'),
    ]
)
SHELL = {'', 'bash', 'console', 'text'}
PROGRAM = r'(?:python )?(?:tools|demo)/\S+\.py\b|bash tools/\S+\.sh\b|mobanet [a-z]|make '
STARTS = re.compile(rf'^(?:\w+=\S* )*(?:\$ )?(?={PROGRAM})')
SEPARATORS = re.compile(r'&&|\|\||[;|]|\bdo\b|\bdone\b')


class Command(NamedTuple):
    """A command as a page tells it.

    Args:
        page: Path of the page in the repository.
        words: Its words, braces expanded.
        comment: What stands behind a ``#``.
        whole: Whether it is meant to be typed as it stands.
    """

    page: str
    words: list[str]
    comment: str
    whole: bool


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def tokens(page: Path) -> list[Token]:
    """The tokens of a page, those inside of a line among them."""
    found = []
    for token in MarkdownIt().enable('table').parse(page.read_text(encoding='utf-8')):
        found += [token, *(token.children or [])]
    return found


def links(page: Path) -> list[str]:
    """What a page links or shows, addresses left out."""
    found = []
    for token in tokens(page):
        if token.type in ('link_open', 'image'):
            found.append(token.attrs['href' if token.type == 'link_open' else 'src'])
        elif token.type.startswith('html'):
            found += re.findall(r'(?:href|src)="([^"]+)"', token.content)
    return [link for link in found if not re.match(r'[a-z]+:', link)]


def anchors(page: Path) -> set[str]:
    """The names by which GitHub, and the manual, know a page's headings."""
    found, heading = [], False
    for token in tokens(page):
        heading = token.type == 'heading_open' or (heading and token.type != 'heading_close')
        if heading and token.type == 'inline':
            text = ''.join(child.content for child in token.children).lower()
            found.append(re.sub(r'[^\w\- ]', '', text).replace(' ', '-'))
    return set(found)


def commands(page: Path) -> list[Command]:
    """The commands of a page, in its blocks of code and within its lines."""
    found = []
    for token in tokens(page):
        if token.type == 'fence' and token.info in SHELL:
            text = re.sub(r' *\\\n *', ' ', token.content)
            for line in text.splitlines():
                code, _, comment = re.sub(r'(?:^| +)# +', '\0', line, count=1).partition('\0')
                for part in SEPARATORS.split(code):
                    whole = '...' not in part and '$' not in part
                    found += read(page, part.strip(), comment, whole)
        elif token.type == 'code_inline':
            found += read(page, token.content.strip(), '', whole=False)
    return found


def read(page: Path, text: str, comment: str, whole: bool) -> list[Command]:
    start = STARTS.match(text)
    if start is None:
        return []
    words = shlex.split(text[start.end() :])
    words = [each for word in words for each in expand(word)]
    return [Command(name_of(page), words[words[0] in ('python', 'bash') :], comment, whole)]


def expand(word: str) -> list[str]:
    """Expand braces as a shell does."""
    parts = re.split(r'\{([^{}]*,[^{}]*)\}', word)
    choices = [part.split(',') if i % 2 else [part] for i, part in enumerate(parts)]
    return [''.join(each) for each in product(*choices)]
