"""What every test may use. The one stack on real servers is started by the first test that asks for it."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations
from hypothesis import settings as examples

from tests import first_path, running_stack, second_path
from tests.first_path import FirstPath
from tests.running_stack import RunningStack
from tests.second_path import SecondPath

FOLDERS = ("unit", "integration", "browser")

# `make test` tries the same examples each time: what fails is of the change. `make fuzz` tries new ones.
examples.register_profile("same", derandomize=True)
examples.register_profile("fuzz", print_blob=True)
examples.load_profile("same")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark by folder and by what a test takes, before anything is chosen by its marks."""
    if _folder(item) != "unit":
        item.add_marker(_folder(item))
    elif (marker := item.get_closest_marker("django_db")) and item.path.parent.name == "console":
        # tests of every page meet those of the use cases, too
        both = {"databases": ["default", "usecases"], **marker.kwargs}
        item.add_marker(pytest.mark.django_db(**both), append=False)
    if "spark" in getattr(item, "fixturenames", ()):
        item.add_marker("thorough")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick ones first, the browser last: its driver keeps an event loop running."""
    items.sort(key=lambda item: FOLDERS.index(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(Path(__file__).parent).parts[0]


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
    for service in ("AIRFLOW", "MLFLOW"):  # which follow where nothing else is said
        setattr(settings, f"CONSOLE_{service}_PUBLIC_URL", getattr(settings, f"CONSOLE_{service}_URL"))
    return stack


@pytest.fixture(scope="session")
def path(stack: RunningStack) -> FirstPath:
    """The stack with one champion, trained, gated and approved by REST."""
    return first_path.walk(stack)


@pytest.fixture(scope="session", name="second_path")
def _second_path(stack: RunningStack, path: FirstPath) -> SecondPath:
    """The same with a drifted window, its alert, and a Spark job that ended well."""
    return second_path.walk(stack, path)


@pytest.fixture(autouse=True, scope="session")
def _audit_rows_go_between_tests():
    """Tests with real transactions empty all tables afterwards; the guard of the audit trail stands aside.

    Quickly: rows go by DELETE, since TRUNCATE gives each of a hundred tables and their indexes new files, and
    nobody here asks for the content types and permissions that Django would write anew each time.
    """
    flush = DatabaseOperations.execute_sql_flush

    def without_triggers(self, sql_list):
        tables = [name for sql in sql_list for name in re.findall('"[^"]+"', sql)]
        deletions = "; ".join(f"DELETE FROM {name}" for name in tables)
        flush(self, ["SET session_replication_role = replica", deletions, "RESET session_replication_role"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", without_triggers)
        patch.setattr("django.core.management.commands.flush.emit_post_migrate_signal", _nothing)
        yield


def _nothing(*_arguments: object, **_options: object) -> None:
    """Instead of what Django tells its applications after each flush."""
