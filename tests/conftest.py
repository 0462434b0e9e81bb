"""What every test may use. The one stack on real servers is started by the first test that asks for it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import running_stack
from tests.running_stack import RunningStack

FOLDER_MARKS = ("integration", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if folder in FOLDER_MARKS:
            item.add_marker(folder)


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """A whole stack, healthy, with nothing in it yet; stopped and removed at the end, also after Ctrl-C."""
    running = running_stack.own()
    keeps = os.environ.get("CONSOLE_TEST_KEEP") == "1"
    if not keeps:
        running.command("reset")  # what a run that was killed left behind
    try:
        running.output = running.up()
        yield running
    finally:
        if not keeps:
            running.command("reset")


@pytest.fixture
def on_the_stack(stack: RunningStack, settings) -> RunningStack:
    """Django's settings in this test lead to the stack's servers; its database stays the test's own."""
    for name, value in stack.env.items():
        if isinstance(getattr(settings, name, None), dict):
            setattr(settings, name, json.loads(value))
        elif hasattr(settings, name):
            setattr(settings, name, type(getattr(settings, name) or "")(value))
    return stack
