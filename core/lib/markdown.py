"""Markdown that others wrote, as HTML that does no harm: no HTML of its own, no pictures, no odd links."""

import inspect
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

LONGEST: Final = 100_000
_DEEPER: Final = 2  # a page has its own first and second headings


def html(text: str) -> SafeString:
    """Headings begin at the third level; indentation that all lines share, as of a docstring, is none."""
    return mark_safe(_reader().render(inspect.cleandoc(text)[:LONGEST]))  # noqa: S308 - HTML in it is escaped


@cache
def _reader() -> MarkdownIt:
    # A picture would tell another host who reads this, and when.
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    reader.add_render_rule("link_open", _link_open)
    reader.add_render_rule("heading_open", _heading)
    reader.add_render_rule("heading_close", _heading)
    return reader


def _link_open(renderer: Any, tokens: Sequence[Token], place: int, options: Any, _env: Any) -> str:
    tokens[place].attrSet("rel", "noopener noreferrer nofollow")
    return str(renderer.renderToken(tokens, place, options, _env))


def _heading(renderer: Any, tokens: Sequence[Token], place: int, options: Any, _env: Any) -> str:
    tokens[place].tag = f"h{min(int(tokens[place].tag[1]) + _DEEPER, 6)}"
    return str(renderer.renderToken(tokens, place, options, _env))
