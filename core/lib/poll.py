"""Polls of outside services: an app's `sync.py` declares them, `manage.py watch` runs them.

@poll(every_s=2, service="airflow")
def sync_runs() -> None: …
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Poll:
    """One function that mirrors something, its name, its pace in seconds, and the service it asks."""

    name: str
    service: str
    every_s: float
    run: Callable[[], None]


POLLS: dict[str, Poll] = {}


def poll(*, every_s: float, service: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register the function, which stays callable. A ConsoleError it raises is noted, and it runs again."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        name = f"{function.__module__}.{function.__qualname__}"
        POLLS[name] = Poll(name, service, every_s, function)
        return function

    return register
