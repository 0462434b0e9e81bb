"""What a first visit loads: within its budget, and as it was published."""

import gzip
import hashlib
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
