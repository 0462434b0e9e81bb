"""The journeys that this run's tests ask for, two at a time: each waits much for one task after another."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.running_stack import RunningStack

LONGEST_FIRST = ("taxi", "real_estate", "diabetes", "titanic", "forest_cover")
AT_ONCE = 2
WITHIN_S = 600


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test waits for its own journey, and for those that come before it."""
    for item in items:
        if _is_here(item):
            item.add_marker(pytest.mark.timeout(2 * WITHIN_S))


@pytest.fixture(scope="package")
def journey(stack: RunningStack, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """What `run_usecase NAME --small` prints; AssertionError with its words unless its exit status is 0."""
    here = {item.path.stem.removeprefix("test_") for item in request.session.items if _is_here(item)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        begun = {
            name: pool.submit(stack.manage, "run_usecase", name, "--small", timeout_s=WITHIN_S)
            for name in LONGEST_FIRST
            if name in here
        }
        yield lambda name: begun[name].result()
        for future in begun.values():
            future.cancel()


def _is_here(item: pytest.Item) -> bool:
    return item.path.parent.name == "usecases"
