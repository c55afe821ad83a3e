"""Turns the reStructuredText of docstrings, roles and formulas, into the manual's Markdown."""

import re
from textwrap import dedent, indent

import griffe

ROLE = re.compile(r':(?:class|func|meth|mod|data|attr):`~?([\w.]+)`')
MATH_ROLE = re.compile(r':math:`([^`]+)`')
MATH = re.compile(r'^( *)\.\. math::(.*(?:\n(?:\1 +.*|[ \t]*))*)', re.MULTILINE)


class Markup(griffe.Extension):
    """Rewrites every docstring of the package once all of it is read."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: object) -> None:
        """See :class:`griffe.Extension`."""
        self._rewrite(pkg)

    def _rewrite(self, item: griffe.Object) -> None:
        if item.is_module:
            item.exports = None  # what a folder hands on is told where it is defined alone
        if item.docstring is not None:
            text = to_markdown(item.docstring.value, item)
            if item.is_class and any(str(base) == 'NamedTuple' for base in item.bases):
                text = text.replace('\nArgs:\n', '\nAttributes:\n')  # griffe sees no signature
            item.docstring.value = text
        for member in item.members.values():
            if not member.is_alias:
                self._rewrite(member)


def to_markdown(text: str, item: griffe.Object) -> str:
    """Rewrite one docstring.

    Args:
        text: The docstring.
        item: What it is of, in whose scope names are looked up.
    """

    def formula(match: re.Match[str]) -> str:
        tex = dedent(match[2]).strip()
        if r'\\' in tex or '&' in tex:
            tex = rf'\begin{{align*}} {tex} \end{{align*}}'
        return indent(f'$$\n{tex}\n$$\n\n', match[1])

    def reference(match: re.Match[str]) -> str:
        name = match[1]
        shown = name.rpartition('.')[2] if name.startswith('mobanet_mmseg.') else name
        path = full_path(name, item)
        if path is None:
            return f'`{shown}`'
        return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>'

    text = MATH.sub(formula, text)
    return ROLE.sub(reference, MATH_ROLE.sub(r'$\1$', text))


def full_path(name: str, item: griffe.Object) -> str | None:
    """Find what a docstring names.

    Args:
        name: As it stands there.
        item: What the docstring is of.

    Returns:
        Its full path; None for what is not this package's.
    """
    if name.startswith('mobanet_mmseg.'):
        return name
    if name in item.members:
        return item.members[name].path
    try:
        path = item.resolve(name)
    except griffe.NameResolutionError:
        return None
    return path if path.startswith('mobanet_mmseg.') else None
