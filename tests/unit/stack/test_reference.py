"""What docs/reference is made of, and the site around it."""

import pytest

from stack import docs_site
from stack.config import REPO
from stack.reference import commands, markdown, settings

EXAMPLE = """\
# Introduction, which is of no setting.
#NOT_OF_A_SECTION=1

# --- how it is reached
# What all of them share.
#
# Its port.
#PORT=80
# Two at once.
#NAME=a
#OTHER_NAME=b

# Of its own.
#LAST=
"""
FILLED_IN = {
    # by `make up`, from the ports of the stack
    "CONSOLE_PUBLIC_URL",
    "CONSOLE_SERVING_URL",
    "CONSOLE_MLFLOW_USERNAME",
    "CONSOLE_SPARK_JARS",
}


def test_settings_are_read_with_their_sections_and_meanings():
    (found,) = settings.sections(EXAMPLE)
    assert (found.title, found.about) == ("How it is reached", "What all of them share.")
    assert [(one.name, one.default, one.meaning) for one in found.settings] == [
        ("PORT", "80", "Its port."),
        ("NAME", "a", "Two at once."),
        ("OTHER_NAME", "b", "Two at once."),
        ("LAST", "", "Of its own."),
    ]


def documented() -> dict[str, settings.Setting]:
    sections = settings.sections(settings.EXAMPLE.read_text())
    return {one.name: one for section in sections for one in section.settings}


def test_every_setting_has_a_meaning():
    assert [name for name, one in documented().items() if not one.meaning] == []


def test_every_setting_that_the_console_reads_is_documented_with_its_default():
    known = documented()
    wrong = {
        name: (default, known[name].default)
        for name, _kind, default in settings.read_by_the_console()
        if default is not None and name not in FILLED_IN and known[name].default != str(default)
    }
    assert wrong == {}


def test_every_target_of_the_makefile_is_listed():
    declared = set((REPO / "Makefile").read_text().split(".PHONY:")[1].split("\n\n")[0].split()) - {"\\"}
    assert declared <= {name for name, _does in commands.of_make()}


def test_every_command_says_what_it_does():
    assert [usage for usage, does in commands.of_the_stack() if not does] == []
    assert [name for name, command in commands.of_manage() if not command.help] == []


def test_a_cell_breaks_no_table():
    assert markdown.table(("a",), [("x | y\nz",)])[2] == "| x \\| y z |"
    assert markdown.code("a `b`") == "`` a `b` ``"


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example.org/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example.org/css">',
        '<img alt="x" src="http://example.org/a.png">',
        "<style>@import 'https://example.org/a.css';</style>",
        "<style>body { background: url(https://example.org/a.png) }</style>",
    ],
)
def test_a_page_that_reads_from_outside_is_found(tmp_path, text: str):
    (tmp_path / "a.html").write_text(f"<p>{text}</p>")
    (found,) = docs_site.from_outside(tmp_path)
    assert found.startswith("a.html: ")
    assert "example.org" in found


def test_links_and_own_files_are_fine(tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="https://example.org">x</a><script src="_static/a.js"></script>'
        '<img src="data:image/png;base64,x"><link rel="next" href="b.html">'
    )
    assert docs_site.from_outside(tmp_path) == []
