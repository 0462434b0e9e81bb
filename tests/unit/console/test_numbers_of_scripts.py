"""Scripts write numbers as the server does: the same box must not change its look when it is renewed."""

import json
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import translation
from playwright._impl._driver import compute_driver_executable

from core.lib.templatetags import numbers

SCRIPT = Path(settings.BASE_DIR, "console/static/console/numbers.js")
COUNTS = [0, 7, 999, 1234, 19_900, -19_900, 999_999, 1_234_567, -1_234_567, 2_500_000_000, 5 * 10**12]
SPANS = [0, 0.34, 0.9994, 0.9996, 4.2, 9.94, 9.96, 41, 59.6, 134, 3599.6, 7200, 11_100, 86_400, 187_200]


def by_script(language: str, expression: str) -> list[str]:
    """What the script makes of it, in a page of that language. Playwright brings a Node of its own."""
    page = (
        f"globalThis.window = globalThis; globalThis.document = {{documentElement: {{lang: '{language}'}}}};"
    )
    source = f"{page}{SCRIPT.read_text()};console.log(JSON.stringify({expression}))"
    node, *_rest = compute_driver_executable()
    done = subprocess.run([node, "-e", source], capture_output=True, check=True, text=True, timeout=60)
    return json.loads(done.stdout)


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize(
    ("values", "name", "ours"),
    [
        (COUNTS, "count", numbers.short_count),
        (COUNTS, "whole", numbers.whole),
        (SPANS, "span", numbers.span),
    ],
)
def test_a_script_writes_as_the_server_does(language, values, name, ours):
    written = by_script(language, f"{json.dumps(values)}.map(window.numbers.{name})")
    with translation.override(language):
        assert dict(zip(values, written, strict=True)) == {value: ours(value) for value in values}


def test_no_script_formats_numbers_by_itself():
    scripts = [
        path
        for app in ("console", "streaming")
        for path in Path(settings.BASE_DIR, app).rglob("static/*/*.js")
    ]
    own = [
        path.name
        for path in scripts
        if "vendor" not in path.parts and "Intl.NumberFormat(" in path.read_text()
    ]
    assert sorted(own) == ["numbers.js", "streams.js"]  # streams.js: short ticks of an axis, "20K"
