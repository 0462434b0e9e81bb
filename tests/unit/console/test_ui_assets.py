"""What a first visit loads: within its budget, and as it was published."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from console.assets import build, trim

STATIC = build.STYLESHEET.parent
VENDOR = STATIC.parent / "vendor"
FIRST_LOAD = [
    STATIC / "app.css",
    STATIC / "early.js",
    STATIC / "shell.js",
    STATIC / "palette.js",
    STATIC / "live.js",
    STATIC / "icons.svg",
    VENDOR / "htmx-4.0.1.min.js",
]
FONTS = [VENDOR / "inter-latin-5.3.0.woff2"]
BUDGET_BYTES = 150_000


def test_first_load_is_within_its_budget():
    compressed = sum(len(gzip.compress(path.read_bytes())) for path in FIRST_LOAD)
    assert compressed + sum(path.stat().st_size for path in FONTS) < BUDGET_BYTES


def test_vendored_files_are_as_published():
    for line in (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        expected, name = line.split()
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == expected, name


def test_every_vendored_file_is_listed():
    listed = {line.split()[1] for line in (VENDOR / "SHA256SUMS").read_text(encoding="utf-8").splitlines()}
    present = {path.name for path in VENDOR.iterdir()} - {"VENDOR.md", "SHA256SUMS"}
    assert present <= listed


def test_stylesheet_is_the_sum_of_its_parts():
    assert build.STYLESHEET.read_text(encoding="utf-8") == build.stylesheet(), (
        "run: python -m console.assets.build"
    )


@pytest.mark.parametrize(
    ("selector", "is_kept"),
    [
        ("a:hover", True),
        (".btn-primary:not(.active)", True),
        (".carousel .btn", False),
        (".bg-facebook", False),
        ("[data-theme=dark] .card", False),
    ],
)
def test_trim_keeps_rules_by_their_class_names(selector, is_kept):
    assert trim.is_kept(selector) is is_kept


def test_trim_drops_empty_media_and_unlisted_at_rules():
    css = "@charset 'x';@media (min-width:1px){.btn{a:b}.carousel{a:b}}@media print{.btn{a:b}}@font-face{a:b}"
    assert [rule.css() for rule in trim.trim(trim.parse(css))] == ["@media (min-width:1px){.btn{a:b}}"]


def test_trim_drops_properties_nobody_reads():
    css = ":root{--a:1;--b:var(--a);--c:3}.x{color:var(--d)}"
    assert trim.drop_unread_properties(css, readers="p{top:var(--c)}") == ":root{--c:3}.x{color:var(--d)}"


def test_trim_refuses_unbalanced_braces():
    with pytest.raises(ValueError, match="unbalanced"):
        list(trim.parse("a{b{}"))


def test_parts_hold_no_address_of_elsewhere():
    for path in [*Path(build.PARTS).glob("*.css"), *STATIC.glob("*.js")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path.name
        assert "https://" not in text, path.name


def _names(selector: str) -> set[str]:
    return set(re.findall(r"[.#]([A-Za-z_][\w-]*)", selector))


def _selectors(path: Path) -> list[str]:
    rules = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    heads = [head.strip() for head in re.findall(r"([^{}]+)\{", rules)]
    return [one for head in heads if head[0] != "@" for one in re.split(r",(?![^(]*\))", head)]


def test_an_apps_styles_stay_in_that_app():
    """Each of its rules is of a class or an id of its own: what all pages have is styled in shared parts."""
    parts = sorted(build.PARTS.glob("[0-9]*.css"))
    shared = [path for path in parts if path.name < "65"] + [build.PARTS / "tabler.trimmed.css"]
    common = {name for path in shared for one in _selectors(path) for name in _names(one)}
    leaks = [
        f"{path.name}: {one}"
        for path in parts
        if path not in shared
        for one in _selectors(path)
        if not _names(one) - common
    ]
    assert leaks == []


def test_no_class_is_styled_by_two_apps():
    owners: dict[str, set[str]] = {}
    parts = [path for path in build.PARTS.glob("[0-9]*.css") if path.name >= "65"]
    for path in parts:
        for one in _selectors(path):
            for name in _names(one.split()[0]):
                owners.setdefault(name, set()).add(path.name)
    shared = {
        name for path in build.PARTS.glob("[0-6]*.css") for one in _selectors(path) for name in _names(one)
    }
    assert {name: files for name, files in owners.items() if len(files) > 1 and name not in shared} == {}
