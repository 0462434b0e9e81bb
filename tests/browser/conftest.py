"""Chromium, and the people of the tests."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visitors import People
from tests.running_stack import RunningStack


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that CHROMIUM names."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "no Chromium: install the package `chromium`, or set CHROMIUM to a browser's path"
    arguments = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def _people(browser: Browser, stack: RunningStack) -> People:
    return People(browser, stack)


@pytest.fixture
def people(_people: People) -> Iterator[People]:
    """People of this test; at its end nothing may have been complained about."""
    yield _people
    _people.check()
