"""Numbers in markup are the machine's, whatever the reader's language: a comma in an SVG draws nothing."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template import engines
from django.utils import translation

from core.lib.templatetags import drawings

TEMPLATES = sorted(Path(settings.BASE_DIR, "templates").rglob("*.html"))
SHAPES = re.compile(r'\b(?:[xy][12]?|c[xy]|r[xy]?|width|height|d|points|viewBox|transform)="([^"]*)"')
WRITTEN = re.compile(r"\{\{\s*(.*?)\s*\}\}")
# Django's `localize off` does not reach this filter; its own "u" does.
LOCALISED = re.compile(r"\|floatformat(?!:[\"']-?\d*u)")


def numbers_in_shapes():
    for path in TEMPLATES:
        text = path.read_text()
        if "<svg" in text or "_svg" in path.name:
            for shape in SHAPES.findall(text):
                yield from ((path, text, written) for written in WRITTEN.findall(shape))


@pytest.mark.parametrize("language", ["en", "es"])
def test_a_shape_says_its_numbers_with_a_point(language):
    with translation.override(language):
        wrong = [
            f"{path.name}: {written}"
            for path, text, written in numbers_in_shapes()
            if "," in shown(written, is_off="{% localize off %}" in text)
        ]
    assert wrong == []


def shown(written, *, is_off):
    """The expression with 12.5 for whatever it is about."""
    expression = re.sub(r"^[\w.]+", "number", written)
    expression = re.sub(r"\|add:[\w.]+(?=\||$)", "", expression)
    markup = "{{ " + expression + " }}"
    if is_off:
        markup = "{% load l10n %}{% localize off %}" + markup + "{% endlocalize %}"
    return engines["django"].from_string(markup).render({"number": 12.5})


def test_drawings_say_their_numbers_with_a_point():
    with translation.override("es"):
        line = str(drawings.sparkline([1.5, 2.25, 3.125], ""))
    assert re.search(r'points="[\d., ]+"', line)
    assert all(
        re.fullmatch(r"[\d.]+,[\d.]+", place)
        for place in re.search(r'line" points="([^"]+)"', line)[1].split()
    )


CARDS = re.compile(r'<table[^>]*class="[^"]*\bto-cards\b.*?</table>', re.S)
ROW = re.compile(r'{% include "([^"]+_row\.html)"[^%]*%}')
CELLS = re.compile(r"<(td|th)\b([^>]*)>(.*?)</\1>", re.S)
# What speaks for itself: the badge of a state, a button, a form.
SPEAKS = re.compile(
    r'\s*{% state |.*(?:{% include "[^"]*(?:_state|_lift|_switch)\.html"|<form|class="btn)', re.S
)


def unnamed(table: str) -> list[str]:
    """Cells that lose their name with the head of the column, which a phone does not show."""
    body = ROW.sub(lambda row: Path(settings.BASE_DIR, "templates", row[1]).read_text(), table)
    body = body.partition("</thead>")[2]
    return [
        content
        for row in re.findall(r"<tr\b.*?</tr>", body, re.S)
        for kind, about, content in CELLS.findall(row)[1:]
        if kind == "td"
        and not re.search("data-label|hide-phone|colspan", about)
        and not SPEAKS.match(content)
    ]


def test_every_cell_says_what_it_is_where_a_table_becomes_cards():
    tables = [(path.name, table) for path in TEMPLATES for table in CARDS.findall(path.read_text())]
    assert len(tables) > 25
    assert [(name, cell) for name, table in tables for cell in unnamed(table)] == []
    assert unnamed("<thead></thead><tr><th>a</th><td>{{ n }}</td></tr>") == ["{{ n }}"]


# Where something lies, not how many there are: "1.2 M" can be neither compared nor typed.
PLACES = re.compile(r"\b(?:low|high|committed|end|before|after|offset|row|line)\|count\b")


def test_offsets_rows_and_lines_are_never_shortened():
    shortened = [(path.name, found) for path in TEMPLATES for found in PLACES.findall(path.read_text())]
    assert shortened == []
    assert PLACES.search("{{ move.before|count }}")


LINKS = re.compile(r"<a\b[^>]*>", re.S)


def test_a_link_to_another_site_opens_a_tab_of_its_own():
    links = [(path.name, link) for path in TEMPLATES for link in LINKS.findall(path.read_text())]
    leaving = [(name, link) for name, link in links if "noreferrer" in link or 'href="http' in link]
    assert len(leaving) >= 4
    assert [name for name, link in leaving if 'target="_blank"' not in link] == []


SKELETONS = re.compile(r'{% include "_shared/_skeleton.html"[^%]*%}')


def test_what_loads_by_itself_has_an_address_for_those_without_scripts():
    boxes = [(path.name, found) for path in TEMPLATES for found in SKELETONS.findall(path.read_text())]
    assert len(boxes) > 20
    assert [name for name, include in boxes if "fragment_url=" not in include] == []
