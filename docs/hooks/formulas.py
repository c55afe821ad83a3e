"""Renders formulas as MathML, which browsers show without a script and without a network."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.structure.pages import Page

FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(content: str, *, page: Page, **kwargs: object) -> str:
    """Render each formula that pymdownx.arithmatex has marked."""

    def rendered(match: re.Match[str]) -> str:
        display = 'block' if match['tag'] == 'div' else 'inline'
        return convert(html.unescape(match['tex']).strip(), display=display)

    return FORMULA.sub(rendered, content)
