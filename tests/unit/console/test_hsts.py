"""How long browsers are told to use https alone, and for which hosts: a promise that is hard to take back."""

import json
import os
import subprocess
import sys

import pytest

TELL = """
import json
from console import settings
print(json.dumps([settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS,
                  settings.SECURE_HSTS_PRELOAD]))
"""
YEAR_S = 365 * 24 * 3600
HTTPS = {"CONSOLE_PUBLIC_URL": "https://localhost"}


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (HTTPS, [YEAR_S, False, False]),
        ({**HTTPS, "CONSOLE_HSTS_SECONDS": "0"}, [0, False, False]),
        (
            {**HTTPS, "CONSOLE_HSTS_SUBDOMAINS": "1", "CONSOLE_HSTS_PRELOAD": "1"},
            [YEAR_S, True, True],
        ),
        ({"CONSOLE_PUBLIC_URL": "http://localhost", "CONSOLE_HSTS_SECONDS": "60"}, [0, False, False]),
    ],
)
def test_browsers_are_told_about_this_host_alone_unless_settings_say_more(told, found):
    done = subprocess.run(
        [sys.executable, "-c", TELL], env={**os.environ, **told}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == found
