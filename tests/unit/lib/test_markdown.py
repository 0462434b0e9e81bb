"""What authors write in Markdown: drawn, and harmless."""

import pytest

from core.lib.markdown import LONGEST, html


def test_it_is_drawn_with_headings_below_the_pages_own():
    text = """
    # Title

    Some **bold** text.

    | a | b |
    |---|---|
    | 1 | 2 |
    """
    drawn = html(text)
    assert "<h3>Title</h3>" in drawn
    assert "<strong>bold</strong>" in drawn
    assert "<td>2</td>" in drawn


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,AAAA)",
        "![x](https://example.org/seen.png)",
        "[x]: javascript:alert(1)\n\n[x]",
        "`<script>`",
    ],
)
def test_nothing_of_it_is_html_of_its_own(text):
    drawn = html(text)
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert 'href="javascript' not in drawn
    assert 'href="data' not in drawn


def test_links_say_nothing_of_where_they_were_followed():
    assert '<a href="https://example.org" rel="noopener noreferrer nofollow">' in html(
        "[x](https://example.org)"
    )


def test_a_book_is_cut():
    assert len(html("x" * (LONGEST + 5000))) < LONGEST + 100
